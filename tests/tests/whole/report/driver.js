// Runs inside of a copy of a page and leaves what it finds as the text of #found.
"use strict";
(() => {
  const found = { errors: window.reportErrors };
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const column = (table, i) => [...table.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.cells[i].innerText.trim());

  // Everything there is must be looked at.
  all("details").forEach((fold) => { fold.open = true; });

  const domains = document.querySelector("#domain-table table");
  const heads = all("thead th button", domains);
  const sorts = [];
  for (const i of [0, 0, 1, 3]) {
    heads[i].click();
    sorts.push({ sort: heads[i].parentElement.getAttribute("aria-sort"), names: column(domains, 0) });
  }
  found.sorts = sorts;
  found.sortedHeads = all("#domain-table th[aria-sort]").length;

  const search = document.querySelector("#domain-table input[type=search]");
  const type = (text) => {
    search.value = text;
    search.dispatchEvent(new Event("input", { bubbles: true }));
    return { names: column(domains, 0), says: document.querySelector("#domain-table output").textContent };
  };
  found.search = [type("EXAMPLE.org"), type("nothing at all"), type("")];

  found.heads = all("th button").length;
  found.reached = all("th button").filter((button) => {
    button.focus();
    return document.activeElement === button && button.tabIndex === 0;
  }).length;

  const visible = (e) => e.getClientRects().length > 0;
  const words = () => all("#bad-word-table .revealed").filter(visible).length;
  found.masked = words();
  document.querySelector("#reveal")?.click();
  found.revealed = words();

  // What a comparison marks as removed and as added.
  found.was = all("del .sign").filter(visible).map((e) => e.innerText);
  found.now = all("ins .sign").filter(visible).map((e) => e.innerText);

  // Labels of a river must not lie on each other, nor be cut off (but for sentences that explain them).
  const labels = (drawing) => all("li > span, li > b", drawing).filter(visible);
  const overlaps = () => all(".drawing").filter(visible).flatMap((drawing) => {
    const boxes = labels(drawing).map((e) => {
      const range = document.createRange();
      range.selectNodeContents(e);
      const box = e.classList.contains("doc") ? e.getBoundingClientRect() : range.getBoundingClientRect();
      return { text: e.innerText, left: box.left, right: box.right, top: box.top + 2, bottom: box.bottom - 2 };
    });
    return boxes.flatMap((a, i) => boxes.slice(i + 1)
      .filter((b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
      .map((b) => `${a.text} / ${b.text}`));
  });
  const cut = () => all(".drawing").filter(visible).flatMap((drawing) => labels(drawing)
    .filter((e) => !e.classList.contains("doc") && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 3))
    .map((e) => `${e.innerText} is cut off`));
  // What sticks out of the page without being in a box that scrolls.
  const wide = () => all("body *").filter((e) => visible(e) && !e.closest(".scroll, .hidden, .skip, svg")
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5).map((e) => `${e.tagName}.${e.className}`).slice(0, 5);
  const shown = () => all(".river").filter(visible).map((river) => river.classList[1]).join();
  // Whatever fonts there are: letters apart or together make up for those that are not.
  const fonts = {
    own: "",
    wide: "* { font-family: Verdana, 'DejaVu Sans', 'Noto Sans', sans-serif !important; letter-spacing: .06em !important; }",
    narrow: "* { font-family: 'Liberation Sans Narrow', 'Arial Narrow', 'DejaVu Sans Condensed', serif !important; letter-spacing: -.03em !important; }",
    monospace: "* { font-family: monospace, monospace !important; }",
    large: ":root { font-size: 22px; }",
  };
  found.layout = [];
  const style = document.head.appendChild(document.createElement("style"));
  for (const [font, css] of Object.entries(fonts)) {
    // Names have no room in letters that large on a phone.
    if (font === "large" && window.innerWidth < 600) continue;
    style.textContent = css;
    found.units = ["lines", "words", "characters", "pages"].map((unit) => {
      document.querySelector(`[name=unit][value=${unit}]`)?.click();
      found.layout.push(...[...overlaps(), ...cut(), ...wide()].map((wrong) => `${font}, ${unit}: ${wrong}`));
      return shown();
    });
  }
  style.remove();

  // Contrast of all text with what is behind it, in both themes.
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => {
    const [r, g, b] = rgba(color).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (rgba(color)[3] === 255) return color;
    }
    return "white";
  };
  const contrast = (theme) => {
    document.documentElement.dataset.theme = theme;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let worst = { ratio: 99, text: "" };
    let texts = 0;
    while (walker.nextNode()) {
      const e = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || !visible(e) || /^(SCRIPT|STYLE|title)$/.test(e.tagName)) continue;
      const style = getComputedStyle(e);
      const [a, b] = [light(e instanceof SVGElement ? style.fill : style.color), light(behind(e))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      texts += 1;
      if (ratio < worst.ratio) worst = { ratio, text: walker.currentNode.data.slice(0, 60) };
    }
    return { ...worst, texts, background: light(getComputedStyle(document.body).backgroundColor) };
  };
  found.dark = contrast("dark");
  found.light = contrast("light");
  delete document.documentElement.dataset.theme;
  found.system = light(getComputedStyle(document.body).backgroundColor);
  const button = document.querySelector("#theme");
  found.themes = [1, 2, 3].map(() => { button.click(); return document.documentElement.dataset.theme ?? "system"; });

  found.width = document.documentElement.clientWidth;
  found.scrollWidth = document.documentElement.scrollWidth;
  found.links = all("a[href]").map((a) => a.getAttribute("href")).filter((href) => !href.startsWith("#"));
  found.broken = all("a[href^='#']").map((a) => a.hash.slice(1)).filter((id) => !document.getElementById(id));
  const ids = all("[id]").map((e) => e.id);
  found.doubled = ids.filter((id, i) => ids.indexOf(id) !== i);
  found.unnamed = all("table").filter((t) => !t.caption?.textContent.trim()).length
    + all("svg[role=img]").filter((s) => !s.getAttribute("aria-label")).length
    + all("section").filter((s) => !document.getElementById(s.getAttribute("aria-labelledby"))).length;
  found.loaded = performance.getEntriesByType("resource").map((entry) => entry.name);

  const text = `FOUND:${encodeURIComponent(JSON.stringify(found))}:END`;
  if (window.parent !== window) window.parent.postMessage(text, "*");
  document.body.replaceChildren(Object.assign(document.createElement("pre"), { id: "found", textContent: text }));
})();
