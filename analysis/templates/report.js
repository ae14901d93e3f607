"use strict";
// What a page does beyond being read: sort, filter and copy tables, lead to rows, enlarge figures.
// Without it everything is still there, but for the rows of long tables, which are in their CSV.
(() => {
  const MISSING = "–";
  const NUMBER = /^[-+−]?\d*\.?\d+(e[-+]?\d+)?(?=$|[\s%])/i;
  // What a spreadsheet would run as a formula.
  const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
  const queries = JSON.parse(document.getElementById("queries").textContent);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const button = (text, title, onclick) => make("button", { type: "button", title, onclick }, text);

  // A short word on what was done, above everything else; `code` is shown in it.
  const toast = make("div", { className: "toast", popover: "manual" });
  toast.setAttribute("role", "status");
  document.body.append(toast);
  let fading;
  const say = (text, code) => {
    toast.replaceChildren(text, ...(code ? [make("pre", {}, code)] : []));
    if (toast.matches(":popover-open")) toast.hidePopover();
    toast.showPopover();
    clearTimeout(fading);
    fading = setTimeout(() => toast.hidePopover(), code ? 9000 : 2500);
  };
  const copy = async (text, said, code) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", { value: text });
      (document.querySelector("dialog[open]") ?? document.body).append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say(said, code);
  };

  // Tables
  const shown = (cell) => cell.firstChild?.data ?? "";
  const key = (cell) => cell.dataset.v ?? shown(cell);
  const value = (cell) => (key(cell) === MISSING ? "" : key(cell));
  const number = (text) => parseFloat(text.replace("−", "-"));
  const compare = (column, values, down) => {
    const numeric = values.every((text) => text === "" || NUMBER.test(text));
    return (one, other) => {
      const [x, y] = [value(one.cells[column]), value(other.cells[column])];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = numeric ? number(x) - number(y) : x.localeCompare(y, "en", { numeric: true });
      return down ? -order : order;
    };
  };
  const harmless = (text) => (FORMULA.test(text) && !(text.trim() !== "" && isFinite(text)) ? `'${text}` : text);
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rowsCode = (read, row, heads) =>
    read.map(([name, columns, fixed, loose]) => {
      const where = [...fixed], notes = [];
      for (const [column, place] of Object.entries(columns)) {
        const found = queries.where[name][column]?.[key(row.cells[place])];
        if (found) where.push(found);
        else notes.push(`# ${JSON.stringify(heads[place])} ${JSON.stringify(key(row.cells[place]))} names no single value there\n`);
      }
      const [first, ...rest] = queries.code[name].split("\n");
      const joined = where.join("\n    & ");
      const body = rest.join("\n").replace(/(\n {4}& )?WHERE/, (_, behind) =>
        joined ? (behind ?? "") + joined : behind ? "" : "None");
      return `${first}\n${loose}${notes.join("")}${body}`;
    }).join("\n");

  const table = (box) => {
    const grid = box.querySelector("table"), body = grid.tBodies[0], heads = [...grid.tHead.rows[0].cells];
    const names = heads.map((head) => head.textContent);
    const read = box.dataset.read && JSON.parse(box.dataset.read);
    const count = make("span", {});
    count.setAttribute("aria-live", "polite");
    const lead = (row) => {
      const act = () => {
        const code = rowsCode(read, row, names);
        copy(code, "Copied. This Python reads the rows behind the line:", code);
      };
      const one = button("rows", "Copy Python that reads the rows behind this line", act);
      row.append(make("td", { className: "rows" }, one));
    };
    const whole = () => {
      const rest = box.querySelector("template.rest");
      if (!rest) return;
      const rows = [...rest.content.children];
      body.append(...rows);
      if (read) rows.forEach(lead);
      rest.remove();
      more.remove();
    };
    const visible = () => [...body.rows].filter((row) => !row.hidden);
    const sort = (head) => {
      whole();
      const down = head.getAttribute("aria-sort") === "ascending";
      const values = [...body.rows].map((row) => value(row.cells[head.cellIndex]));
      body.append(...[...body.rows].sort(compare(head.cellIndex, values, down)));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
    };
    const filter = (text) => {
      whole();
      const words = text.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of body.rows) {
        const held = [...row.cells].slice(0, heads.length).map((cell) => cell.textContent).join(" ").toLowerCase();
        row.hidden = !words.every((word) => held.includes(word));
      }
      count.textContent = words.length ? `${visible().length} of ${body.rows.length} rows` : "";
    };
    const written = (split, escape) => {
      whole();
      const rows = visible();
      const below = names.map((_, place) => rows.some((row) => row.cells[place].querySelector("small")));
      const line = (cells, small) =>
        cells.flatMap((text, place) => (below[place] ? [text, small(place)] : [text])).map(escape).join(split);
      return [
        line(names.map(harmless), (place) => harmless(`${names[place]}, second line`)),
        ...rows.map((row) => line(names.map((_, place) => harmless(value(row.cells[place]))),
          (place) => harmless(row.cells[place].querySelector("small")?.textContent ?? ""))),
      ].join("\n") + "\n";
    };

    const tools = make("div", { className: "tools" });
    if (body.rows.length > 6) {
      const search = make("input", { type: "search", placeholder: "filter rows", oninput: () => filter(search.value) });
      search.setAttribute("aria-label", "Filter rows: all words must occur");
      tools.append(search);
    }
    const tex = box.querySelector("template.tex");
    tools.append(
      "copy",
      button("TSV", "Copy the rows shown, tabs between columns", () =>
        copy(written("\t", (text) => text.replace(/[\t\n\r]+/g, " ")), "Copied with tabs, for a spreadsheet.")),
      button("CSV", "Copy the rows shown, commas between columns", () => copy(written(",", quoted), "Copied as CSV.")),
      ...(tex ? [button("LaTeX", "Copy the whole table as LaTeX", () => copy(tex.content.textContent, "Copied the whole table as LaTeX."))] : []),
      count,
    );
    const rest = box.querySelector("template.rest");
    const more = button(`show all ${body.rows.length + (rest?.content.children.length ?? 0)} rows`, "", whole);
    if (rest) tools.append(more);
    box.prepend(tools);
    for (const head of heads) {
      const one = button(head.textContent, "Sort by this column", () => sort(head));
      head.replaceChildren(one);
    }
    if (read) {
      [...body.rows].forEach(lead);
      const head = make("th", { className: "rows", scope: "col" });
      head.setAttribute("aria-label", "rows");
      grid.tHead.rows[0].append(head);
    }
  };
  all(".table").forEach(table);

  // Figures
  const title = make("p", {}), stage = make("div", { className: "stage" });
  const zoom = (by) => stage.style.setProperty("--zoom", Math.min(6, Math.max(0.5, by * (stage.style.getPropertyValue("--zoom") || 1))));
  const zooms = [button("+", "Larger", () => zoom(1.5)), button("−", "Smaller", () => zoom(1 / 1.5))];
  const viewer = make("dialog", {}, make("header", {}, title, ...zooms, button("close", "Close (Esc)", () => viewer.close())), stage);
  viewer.setAttribute("aria-label", "Enlarged");
  document.body.append(viewer);
  let back = () => {};
  viewer.addEventListener("close", () => back());
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  const open = (content, caption, restore) => {
    title.textContent = caption;
    stage.replaceChildren(content);
    stage.style.removeProperty("--zoom");
    zooms.forEach((one) => { one.hidden = content.tagName !== "svg"; });
    back = () => { restore(); stage.replaceChildren(); };
    viewer.showModal();
  };
  for (const figure of all("figure")) {
    const place = figure.querySelector(".drawing"), caption = figure.querySelector("figcaption");
    const said = caption.firstChild.data.replace(/\($/, "").trim(), tools = make("div", { className: "tools" });
    const drawing = place?.firstElementChild;
    if (drawing) {
      const enlarge = () => {
        place.style.minHeight = `${place.offsetHeight}px`;
        open(drawing, said, () => { place.append(drawing); place.style.minHeight = ""; });
      };
      place.addEventListener("click", () => getSelection().isCollapsed && enlarge());
      const save = () => {
        const own = drawing.cloneNode(true);
        own.setAttribute("xmlns", "http://www.w3.org/2000/svg");
        own.setAttribute("xmlns:xlink", "http://www.w3.org/1999/xlink");
        own.setAttribute("font-family", "DejaVu Sans, Verdana, sans-serif");
        all(".mono", own).forEach((text) => text.setAttribute("font-family", "DejaVu Sans Mono, monospace"));
        const light = own.outerHTML.replace(/var\(--c[0-9a-f]{6}, (#[0-9a-f]{6})\)/g, "$1");
        const href = URL.createObjectURL(new Blob([light], { type: "image/svg+xml" }));
        make("a", { download: `${figure.id.replace("figure-", "")}.svg`, href }).click();
        setTimeout(() => URL.revokeObjectURL(href), 1000);
      };
      tools.append(
        button("enlarge", "Show this figure as large as the window", enlarge),
        button("save SVG", "Save this figure as it stands here, in light colours", save),
      );
    }
    const numbers = figure.querySelector("template.numbers");
    if (numbers) {
      tools.append(button("numbers", "Show the numbers that draw this figure", () => {
        const held = numbers.content.cloneNode(true).firstElementChild;
        table(held.querySelector(".table"));
        open(held, said, () => {});
      }));
    }
    caption.append(tools);
  }

  // BibTeX
  for (const block of all("pre.bibtex")) {
    block.before(make("div", { className: "tools" }, button("copy BibTeX", "Copy all entries", () => copy(block.textContent, "Copied as BibTeX."))));
  }

  // Contents
  const contents = document.querySelector(".contents details"), links = all(".contents a");
  const narrow = matchMedia("(max-width: 66rem)");
  const fit = () => { contents.open = !narrow.matches; };
  narrow.addEventListener("change", fit);
  fit();
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  links.forEach((link) => link.addEventListener("click", () => {
    if (narrow.matches) contents.open = false;
    if (link.hash === location.hash) reveal();
  }));
  reveal();
  const sections = all("section, details.section");
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.target.dataset.seen = entry.isIntersecting ? "yes" : "";
    const first = sections.find((section) => section.dataset.seen);
    links.forEach((link) => {
      if (first && link.hash === `#${first.id}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }, { rootMargin: "0px 0px -60% 0px" });
  sections.forEach((section) => seen.observe(section));
  const folds = all("details.section");
  const every = button("open all sections", "Open or fold all sections", () => {
    const wanted = folds.some((fold) => !fold.open);
    folds.forEach((fold) => { fold.open = wanted; });
    every.textContent = wanted ? "fold all sections" : "open all sections";
  });
  contents.append(every);

  // Paper has no folds: sections and figures open for it, tables that are files stay files.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details.section:not([open]), details.fold:not([open])");
    opened.forEach((fold) => { fold.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((fold) => { fold.open = false; }));
})();
