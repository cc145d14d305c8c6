// Command check reads the manifests of a folder strictly, with the types of Kubernetes:
// a field that does not exist, or stands in the wrong place, is an error. Its module is
// its own, so that wxnotify does not depend on Kubernetes.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

func main() {
	n, err := check(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%d objects are valid\n", n)
}

// found is what the laws below compare.
type found struct {
	deployments []*appsv1.Deployment
	budgets     []*policyv1.PodDisruptionBudget
	services    []*corev1.Service
	policies    []*networkingv1.NetworkPolicy
	names       map[string]bool // kind/name of ConfigMaps and Secrets
}

// check returns the number of objects in the files of dir.
func check(dir string) (int, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return 0, err
	}
	var faults []error
	all, n := found{names: map[string]bool{}}, 0
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		documents := kyaml.NewYAMLReader(newReader(text))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil && len(bytes.TrimSpace(withoutComments(document))) > 0 {
				n++
				err = all.add(document)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", filepath.Base(file), err))
			}
		}
	}
	return n, errors.Join(append(faults, all.laws()...)...)
}

// add decodes one object strictly.
func (f *found) add(document []byte) error {
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(document, &meta); err != nil {
		return err
	}
	switch meta.APIVersion + " " + meta.Kind {
	case "apps/v1 Deployment":
		f.deployments = append(f.deployments, new(appsv1.Deployment))
		return yaml.UnmarshalStrict(document, f.deployments[len(f.deployments)-1])
	case "policy/v1 PodDisruptionBudget":
		f.budgets = append(f.budgets, new(policyv1.PodDisruptionBudget))
		return yaml.UnmarshalStrict(document, f.budgets[len(f.budgets)-1])
	case "networking.k8s.io/v1 NetworkPolicy":
		f.policies = append(f.policies, new(networkingv1.NetworkPolicy))
		return yaml.UnmarshalStrict(document, f.policies[len(f.policies)-1])
	case "v1 Service":
		f.services = append(f.services, new(corev1.Service))
		return yaml.UnmarshalStrict(document, f.services[len(f.services)-1])
	case "v1 ConfigMap":
		var m corev1.ConfigMap
		err := yaml.UnmarshalStrict(document, &m)
		f.names["ConfigMap/"+m.Name] = true
		return err
	case "v1 Secret":
		var s corev1.Secret
		err := yaml.UnmarshalStrict(document, &s)
		f.names["Secret/"+s.Name] = true
		return err
	default:
		// An autoscaler is one of them: its pods would have addresses that WeChat refuses.
		return fmt.Errorf("%s %s is not one of the kinds that this program knows", meta.APIVersion, meta.Kind)
	}
}

// laws of ours: two fixed replicas, probes, a budget that selects the pods, ports and
// references that exist, no rights.
func (f *found) laws() []error {
	var faults []error
	fault := func(name, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
	}
	if len(f.deployments) == 0 || len(f.services) == 0 || len(f.policies) == 0 {
		fault("folder", "has %d deployments, %d services, %d network policies", len(f.deployments), len(f.services), len(f.policies))
	}
	for _, d := range f.deployments {
		if d.Spec.Replicas == nil || *d.Spec.Replicas != 2 {
			fault(d.Name, "replicas is not 2")
		}
		pod := labels.Set(d.Spec.Template.Labels)
		if s, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err != nil || !s.Matches(pod) {
			fault(d.Name, "the selector does not match the pods: %v", err)
		}
		if !f.budgeted(pod) {
			fault(d.Name, "no PodDisruptionBudget selects its pods")
		}
		for i := range d.Spec.Template.Spec.Containers {
			faults = append(faults, f.container(d.Name, &d.Spec.Template.Spec.Containers[i])...)
		}
		if d.Spec.Template.Spec.TerminationGracePeriodSeconds == nil || *d.Spec.Template.Spec.TerminationGracePeriodSeconds < 30 {
			fault(d.Name, "a stop is killed before it has drained")
		}
	}
	for _, s := range f.services {
		if !f.served(s) {
			fault(s.Name, "selects no pod with its port")
		}
	}
	return faults
}

func (f *found) budgeted(pod labels.Set) bool {
	for _, b := range f.budgets {
		if s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil && s.Matches(pod) {
			return true
		}
	}
	return false
}

func (f *found) served(s *corev1.Service) bool {
	for _, d := range f.deployments {
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)) {
			continue
		}
		for _, c := range d.Spec.Template.Spec.Containers {
			for _, p := range c.Ports {
				if p.Name == s.Spec.Ports[0].TargetPort.StrVal {
					return true
				}
			}
		}
	}
	return false
}

func (f *found) container(name string, c *corev1.Container) []error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s: %s", name, c.Name, fmt.Sprintf(format, args...)))
	}
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for what, p := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != what || !ports[p.HTTPGet.Port.StrVal] {
			fault("the probe of %s is missing or asks another path or port", what)
		}
	}
	for _, e := range c.EnvFrom {
		if e.ConfigMapRef != nil && !f.names["ConfigMap/"+e.ConfigMapRef.Name] || e.SecretRef != nil && !f.names["Secret/"+e.SecretRef.Name] {
			fault("refers to a ConfigMap or Secret that is not in the folder")
		}
	}
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
		s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Capabilities == nil || len(s.Capabilities.Drop) == 0 {
		fault("has rights that it does not need")
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		fault("has no request of CPU or no limit of memory")
	}
	return faults
}
