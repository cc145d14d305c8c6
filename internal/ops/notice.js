// asynqmon's page says nothing when an action is refused. This does: the answer
// of every failed change stands at the foot of the page until it is clicked away.
(function () {
  "use strict";
  function show(text) {
    var box = document.getElementById("wxnotify-notice");
    if (!box) {
      box = document.createElement("div");
      box.id = "wxnotify-notice";
      box.setAttribute("role", "alert");
      var s = box.style;
      s.position = "fixed"; s.left = "50%"; s.bottom = "24px"; s.transform = "translateX(-50%)";
      s.maxWidth = "720px"; s.padding = "14px 20px"; s.borderRadius = "6px"; s.zIndex = "9999";
      s.background = "#8c1d18"; s.color = "#fff"; s.cursor = "pointer"; s.lineHeight = "1.45";
      s.font = "15px/1.45 system-ui, sans-serif"; s.boxShadow = "0 4px 16px rgba(0,0,0,.35)";
      box.addEventListener("click", function () { box.remove(); });
      document.body.appendChild(box);
    }
    box.textContent = text;
  }
  var open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method) {
    if (String(method).toUpperCase() !== "GET") {
      this.addEventListener("load", function () {
        if (this.status >= 400) { show(this.responseText.trim() || "HTTP " + this.status); }
      });
    }
    return open.apply(this, arguments);
  };
})();
