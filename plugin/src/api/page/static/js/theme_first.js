// Before the first paint, so that a dark page is never white for a moment: no module, those come later.
(() => {
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem("chunkcast.theme") ?? "null");
  } catch {
    kept = null;
  }
  const dark = kept === "dark" || (kept !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
