// Live pages: the server sends HTML of the part with data-live. What differs is changed in
// place, so that the focus, a selection and an open table stay.
"use strict";
(() => {
  const live = document.querySelector("[data-live]");
  if (!live || !window.EventSource) return;
  const alike = (a, b) => a && b && a.nodeName === b.nodeName && a.id === b.id;
  const change = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    changeInside(old, fresh);
  };
  // Nodes that are alike from the end, then from the start, are changed; those between
  // them are replaced.
  const changeInside = (old, fresh) => {
    const was = [...old.childNodes], now = [...fresh.childNodes];
    let after = null;
    while (alike(was.at(-1), now.at(-1))) change((after = was.pop()), now.pop());
    while (alike(was[0], now[0])) change(was.shift(), now.shift());
    for (const node of was) node.remove();
    for (const node of now) old.insertBefore(node, after);
  };
  let source, again;
  const open = () => {
    clearTimeout(again);
    source = new EventSource(live.dataset.live);
    source.onmessage = (event) => {
      const next = document.createElement("template");
      next.innerHTML = event.data;
      changeInside(live, next.content);
    };
    source.onerror = () => { // a refused stream is not opened again by the browser
      if (source.readyState === EventSource.CLOSED) again = setTimeout(open, 30000);
    };
  };
  addEventListener("pageshow", open);
  addEventListener("pagehide", () => {
    clearTimeout(again);
    source.close();
  });
})();
