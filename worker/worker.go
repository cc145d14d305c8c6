// Package worker takes jobs, decides, sends and records.
package worker
