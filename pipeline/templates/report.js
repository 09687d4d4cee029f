// Sorting, searching and the theme button. Without this script everything is still there to read.
"use strict";
(() => {
  const make = (tag, props, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };

  // Theme: system, light, dark. Storage may be forbidden to a file.
  const themes = ["system", "light", "dark"];
  const store = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("c4-theme");
      localStorage.setItem("c4-theme", value);
    } catch { /* the choice lasts as long as the page */ }
    return null;
  };
  const button = make("button", { type: "button", id: "theme" });
  const setTheme = (theme) => {
    button.textContent = `Theme: ${theme}`;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.dataset.now = theme;
  };
  setTheme(themes.includes(store()) ? store() : "system");
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(button.dataset.now) + 1) % themes.length];
    setTheme(next);
    store(next);
  });
  document.getElementById("theme-place")?.append(button);

  const key = (row, column) => {
    const cell = row.cells[column];
    return "v" in cell.dataset ? Number(cell.dataset.v) : cell.innerText.trim();
  };
  const order = new Intl.Collator("en", { numeric: true });
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : order.compare(a, b));

  const sortable = (wrap, table, status) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const name = head.textContent;
      const sorter = make("button", { type: "button" }, name);
      head.replaceChildren(sorter);
      sorter.addEventListener("click", () => {
        const body = table.tBodies[0];
        const numeric = "v" in (body.rows[0]?.cells[column].dataset ?? {});
        // Numbers are first wanted from the largest down, names from A on.
        const now = head.getAttribute("aria-sort");
        const down = now === null ? numeric : now === "ascending";
        const rows = [...body.rows].map((row) => [key(row, column), row]);
        rows.sort(([a], [b]) => (down ? compare(b, a) : compare(a, b)));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        body.append(...rows.map(([, row]) => row));
        status.textContent = `Sorted by ${name}, ${down ? "descending" : "ascending"}.`;
      });
    });
  };

  const searchable = (wrap, table) => {
    const what = wrap.dataset.search;
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const input = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    const found = make("output", {});
    found.setAttribute("aria-live", "polite");
    const label = make("label", {}, `Search ${what} `, input);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        if (!row.hidden) shown += 1;
      });
      found.textContent = words.length ? `${shown} of ${rows.length}` : "";
    });
    wrap.prepend(make("div", { className: "find" }, label, found));
  };

  for (const wrap of document.querySelectorAll(".table")) {
    const table = wrap.querySelector("table");
    const status = make("div", { className: "hidden" });
    status.setAttribute("aria-live", "polite");
    wrap.append(status);
    if ("sortable" in wrap.dataset) sortable(wrap, table, status);
    if ("search" in wrap.dataset) searchable(wrap, table);
  }

  // A box that does not scroll needs no stop for the keyboard.
  const stops = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  stops();
  addEventListener("resize", stops);
  document.addEventListener("toggle", stops, true);

  // A link to folded examples unfolds them.
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", unfold);
  unfold();
})();
