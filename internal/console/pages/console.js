// Live pages: the server sends HTML of the part with data-live, which replaces those
// elements with an id that have changed and that the operator is not using.
"use strict";
(() => {
  const live = document.querySelector("[data-live]");
  if (!live || !window.EventSource) return;
  const update = (html) => {
    const next = document.createElement("template");
    next.innerHTML = html;
    const ids = (root) => [...root.querySelectorAll("[id]")].map((e) => e.id).join(" ");
    if (ids(next.content) !== ids(live)) {
      if (!live.contains(document.activeElement)) live.replaceChildren(next.content);
      return;
    }
    const replace = (fresh, old) => {
      if (fresh.isEqualNode(old)) return;
      const inner = fresh.querySelectorAll("[id]");
      if (inner.length) {
        for (const e of inner) if (!e.parentElement.closest("[id]") || e.parentElement.closest("[id]") === fresh) replace(e, document.getElementById(e.id));
        return;
      }
      if (!old.contains(document.activeElement)) old.replaceWith(fresh);
    };
    for (const e of [...next.content.children]) if (e.id) replace(e, document.getElementById(e.id));
  };
  const source = new EventSource(live.dataset.live);
  source.onmessage = (event) => update(event.data);
  addEventListener("pagehide", () => source.close());
})();
