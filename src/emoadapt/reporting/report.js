"use strict";
// Sorting, filtering and the pages of the report. Everything from the study goes through textContent: labels are anybody's text.

var SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes, children) {
  var node = document.createElement(tag);
  return fill(node, attributes, children);
}

function draw(tag, attributes, children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  Object.keys(attributes || {}).forEach(function (name) { node.setAttribute(name, attributes[name]); });
  [].concat(children === undefined ? [] : children).forEach(function (child) {
    node.appendChild(typeof child === "object" ? child : document.createTextNode(String(child)));
  });
  return node;
}

// --- sorting: by value where a column holds numbers, dashes last in both directions, a third click restores the order

function readNumber(text) {
  var plain = text.trim().replace(/\u2212/g, "-").replace(/,(?=\d{3})/g, "");
  if (/^(all|full)\b/.test(plain)) return Infinity;
  var found = plain.match(/^(<?)[\s[(]*([+-]?(?:\d+\.?\d*|\.\d+))/);
  return found ? parseFloat(found[2]) * (found[1] ? 0.5 : 1) : null;
}

function isEmpty(text) { return text === "" || text === "\u2013"; }

function sortTable(table, column, direction) {
  var body = table.tBodies[0], rows = Array.from(body.rows);
  rows.forEach(function (row, place) { if (row.place === undefined) row.place = place; });
  var numeric = table.tHead.rows[0].cells[column].hasAttribute("data-number");
  var keyed = rows.map(function (row) {
    var text = row.cells[column].textContent.trim();
    return { row: row, empty: isEmpty(text), text: text, number: numeric ? readNumber(text) : null };
  });
  keyed.sort(function (a, b) {
    if (!direction) return a.row.place - b.row.place;
    if (a.empty || b.empty) return a.empty - b.empty || a.row.place - b.row.place;
    var order = a.number !== null && b.number !== null
      ? (a.number === b.number ? 0 : a.number - b.number)
      : a.text.localeCompare(b.text, undefined, { numeric: true });
    return direction * order || a.row.place - b.row.place;
  });
  keyed.forEach(function (entry) { body.appendChild(entry.row); });
}

function makeSortable(table) {
  Array.from(table.tHead.rows[0].cells).forEach(function (head, column) {
    var button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", function () {
      var before = head.getAttribute("aria-sort");
      var direction = before === "ascending" ? -1 : before === "descending" ? 0 : 1;
      Array.from(table.tHead.rows[0].cells).forEach(function (other) { other.removeAttribute("aria-sort"); });
      if (direction) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      sortTable(table, column, direction);
    });
  });
}

// --- filtering: an entry stays if it holds every word

function makeFilter(input) {
  var target = document.getElementById(input.getAttribute("data-filter"));
  var entries = target.tagName === "TABLE" ? Array.from(target.tBodies[0].rows) : Array.from(target.querySelectorAll("details.page"));
  var count = input.parentNode.querySelector("output");
  input.addEventListener("input", function () {
    var words = input.value.toLowerCase().split(/\s+/).filter(Boolean), shown = 0;
    entries.forEach(function (entry) {
      var holder = entry.tagName === "DETAILS" ? entry.querySelector("summary") : entry;
      var text = (entry.getAttribute("data-words") || "") + " " + holder.textContent.toLowerCase();
      var fits = words.every(function (word) { return text.indexOf(word) >= 0; });
      entry.hidden = !fits;
      shown += fits;
    });
    count.textContent = words.length ? shown + " of " + entries.length : "";
  });
}

// --- pages of settings

var PAGES = JSON.parse((document.getElementById("pages-data") || { textContent: "[]" }).textContent);

function format(value, digits) {
  return value === null || value === undefined ? "\u2013" : value.toFixed(digits).replace("-", "\u2212");
}

function mean(values) {
  var known = values.filter(function (value) { return value !== null && value !== undefined; });
  return known.length ? known.reduce(function (a, b) { return a + b; }, 0) / known.length : null;
}

function nameRun(page, run) {
  return (page.partitions > 1 ? "partition " + run.p + ", " : "") + "draw " + run.r + ", seed " + run.s;
}

function drawPage(place, page) {
  var state = { test: 0, run: -1 };
  function redraw() {
    var test = page.tests[state.test];
    parts.replaceChildren(
      tableOfRuns(page, test, state),
      make("div", { "class": "panels" }, (test.runs[0].c.length ? [confusionOf(page, test, state.run)] : [])
        .concat(curvesOf(page, test, state.run)))
    );
  }
  var parts = make("div");
  place.appendChild(factsOf(page));
  if (page.tests.length > 1 || page.tests[0].runs.length > 1) place.appendChild(choicesOf(page, state, redraw));
  place.appendChild(parts);
  place.appendChild(filesOf(page));
  redraw();
}

function factsOf(page) {
  var facts = [["Starting point", page.model]];
  if (page.finetuning !== "default") facts.push(["Fine-tuning", page.finetuning + (page.method === page.finetuning ? "" : " (" + page.method + ")")]);
  var objectives = Object.keys(page.objectives);
  if (objectives.length) {
    facts.push(["Stage-1 objectives", objectives.map(function (name) { return page.objectives[name] + " \u00d7 " + name; }).join(", ")]);
  }
  facts.push(["Trained on", page.clips], ["Tested on", page.tests.map(function (test) {
    return test.corpus + " (" + test.n + " clips)";
  }).join(", ")]);
  if (page.left_out) facts.push(["Without usable input", page.left_out]);
  return make("dl", { "class": "facts" }, facts.map(function (fact) {
    return make("div", {}, [make("dt", {}, fact[0]), make("dd", {}, fact[1])]);
  }));
}

function choicesOf(page, state, redraw) {
  var box = make("p", { "class": "choices" });
  function choose(label, options, key, first) {
    var select = make("select", {}, options.map(function (text, place) {
      return make("option", { value: place + first }, text);
    }));
    select.addEventListener("change", function () {
      state[key] = Number(select.value);
      if (key === "test") { state.run = -1; if (runs) runs.value = "-1"; }
      redraw();
    });
    box.appendChild(make("label", {}, [label + " ", select]));
    return select;
  }
  var runs = null;
  if (page.tests.length > 1) choose("Test corpus", page.tests.map(function (test) { return test.corpus; }), "test", 0);
  if (page.tests[0].runs.length > 1) {
    runs = choose("Run", ["all " + page.tests[0].runs.length + " runs"].concat(page.tests[0].runs.map(function (run) { return nameRun(page, run); })), "run", -1);
    state.select = runs;
  }
  return box;
}

function tableOfRuns(page, test, state) {
  var shown = page.metrics.map(function (name, place) { return place; }).filter(function (place) {
    return test.runs.some(function (run) { return run.m[place] !== null; });
  });
  var names = ["run"].concat(shown.map(function (place) { return page.metrics[place]; }),
    page.classes.map(function (name) { return "F1 " + name; }));
  var table = make("table", { "class": "sortable" }, [
    make("caption", {}, "Scores of each run on " + test.corpus + (page.classes.length ? ", and F1 of each class" : "")),
    make("thead", {}, make("tr", {}, names.map(function (name, place) {
      return make("th", place ? { scope: "col", "class": "number", "data-number": "" } : { scope: "col" },
        make("button", { type: "button" }, name));
    }))),
    make("tbody", {}, test.runs.map(function (run, place) {
      var cells = shown.map(function (metric) { return format(run.m[metric], page.digits[metric]); })
        .concat(run.f.map(function (value) { return format(value, 3); }));
      var row = make("tr", state.run === place ? { "class": "chosen" } : {}, [make("td", {}, nameRun(page, run))]
        .concat(cells.map(function (text) { return make("td", { "class": "number" }, text); })));
      return row;
    }))
  ]);
  var footer = make("tfoot");
  function lineOf(name, texts) {
    return make("tr", {}, [make("th", { scope: "row" }, name)].concat(
      texts.map(function (text) { return make("td", { "class": "number" }, text); })));
  }
  if (test.runs.length > 1) {
    var means = shown.map(function (metric) {
      return format(mean(test.runs.map(function (run) { return run.m[metric]; })), page.digits[metric]);
    }).concat(page.classes.map(function (name, index) {
      return format(mean(test.runs.map(function (run) { return run.f[index]; })), 3);
    }));
    footer.appendChild(lineOf("mean", means));
  }
  var chance = shown.map(function (metric) { return format(test.m0[metric], page.digits[metric]); })
    .concat(page.classes.map(function (name, index) { return format(test.f0[index], 3); }));
  if (!chance.every(isEmpty)) footer.appendChild(lineOf("chance", chance));
  if (footer.rows.length) table.appendChild(footer);
  makeSortable(table);
  return make("div", { "class": "scroll", tabindex: "0", role: "region", "aria-label": "Scores of each run" }, table);
}

function confusionOf(page, test, chosen) {
  var size = page.classes.length, runs = chosen < 0 ? test.runs : [test.runs[chosen]];
  var counts = runs[0].c.map(function (_, cell) {
    return runs.reduce(function (sum, run) { return sum + run.c[cell]; }, 0);
  });
  var rows = page.classes.map(function (name, row) {
    var line = counts.slice(row * size, (row + 1) * size), total = line.reduce(function (a, b) { return a + b; }, 0);
    return make("tr", {}, [make("th", { scope: "row" }, name)].concat(line.map(function (count, column) {
      var share = total ? count / total : 0;
      var cell = make("td", { "class": "cell" + (row === column ? " hit" : "") }, [
        make("b", {}, total ? Math.round(100 * share) + " %" : "\u2013"), make("small", {}, String(count))]);
      // Never so dark that the ink cannot be read on it.
      cell.style.setProperty("--share", Math.round(75 * share) + "%");
      return cell;
    })));
  });
  var head = make("tr", {}, [make("th", { scope: "col" }, "true \\ predicted")].concat(page.classes.map(function (name) {
    return make("th", { scope: "col" }, name);
  })));
  var about = chosen < 0 && runs.length > 1 ? "all " + runs.length + " runs together" : nameRun(page, runs[0]);
  return make("figure", { "class": size > 5 ? "confusion large" : "confusion" }, [
    make("figcaption", {}, "Confusion, " + about + ": shares of a true class, and utterances"),
    make("div", { "class": "scroll", tabindex: "0", role: "region", "aria-label": "Confusion" }, make("table", {}, [make("thead", {}, head), make("tbody", {}, rows)]))
  ]);
}

// A run of a table pools its folds; each fold has a curve of its own.
function belongsTo(curve, run) {
  var found = /^p(\d+)f\d+r(\d+)s(\d+)$/.exec(curve.run);
  return Number(found[1]) === run.p && Number(found[2]) === run.r && Number(found[3]) === run.s;
}

function curvesOf(page, test, chosen) {
  var metrics = [];
  page.curves.forEach(function (curve) {
    Object.keys(curve.series).forEach(function (name) {
      var metric = name.split(" ").slice(1).join(" ");
      if (metrics.indexOf(metric) < 0) metrics.push(metric);
    });
  });
  metrics.sort(function (a, b) { return (a === "loss") - (b === "loss") || a.localeCompare(b); });
  return metrics.map(function (metric) { return drawCurves(page, test, chosen, metric); });
}

function drawCurves(page, test, chosen, metric) {
  var width = 380, height = 210, left = 46, right = 10, top = 10, bottom = 32, lines = [];
  page.curves.forEach(function (curve) {
    ["train", "dev"].forEach(function (part) {
      var series = curve.series[part + " " + metric];
      if (!series) return;
      lines.push({
        part: part, best: part === "dev" ? curve.best : null, strong: chosen >= 0 && belongsTo(curve, test.runs[chosen]),
        points: series[1].map(function (value, index) { return [series[0] + index, value]; })
          .filter(function (point) { return point[1] !== null; })
      });
    });
  });
  var all = [].concat.apply([], lines.map(function (line) { return line.points; }));
  var longest = Math.max.apply(null, [1].concat(all.map(function (p) { return p[0]; })));
  var values = all.map(function (p) { return p[1]; });
  var steps = niceSteps(Math.min.apply(null, values), Math.max.apply(null, values));
  var low = steps[0], high = steps[steps.length - 1];
  function x(epoch) { return left + (width - left - right) * epoch / longest; }
  function y(value) { return top + (height - top - bottom) * (high - value) / (high - low || 1); }
  var label = page.labels[metric];
  var picture = draw("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": label + " over epochs" });
  steps.forEach(function (value) {
    picture.appendChild(draw("line", { "class": "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    picture.appendChild(draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, String(Number(value.toPrecision(6)))));
  });
  niceSteps(0, longest).filter(function (e) { return e <= longest && e === Math.round(e); }).forEach(function (epoch) {
    picture.appendChild(draw("text", { x: x(epoch), y: height - bottom + 16, "text-anchor": "middle" }, String(epoch)));
  });
  picture.appendChild(draw("text", { x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle", "class": "soft" }, "epoch"));
  lines.sort(function (a, b) { return a.strong - b.strong; });
  lines.forEach(function (line) {
    var weight = chosen < 0 ? "" : line.strong ? " strong" : " faint";
    picture.appendChild(draw("polyline", {
      "class": "curve " + line.part + weight,
      points: line.points.map(function (p) { return x(p[0]).toFixed(1) + "," + y(p[1]).toFixed(1); }).join(" ")
    }));
    line.points.forEach(function (p) {
      if (p[0] === line.best) picture.appendChild(draw("circle", { "class": "best" + weight, cx: x(p[0]), cy: y(p[1]), r: 3 }));
    });
  });
  var parts = lines.some(function (line) { return line.part === "train"; });
  var text = label + (parts ? ": dev (solid) and train (dashed)" : " on the development part") + "; point: the epoch kept";
  return make("figure", { "class": "curves" }, [make("figcaption", {}, text), picture]);
}

function niceSteps(low, high) {
  if (!isFinite(low) || !isFinite(high)) return [0, 1];
  if (low === high) { low -= 0.5; high += 0.5; }
  var raw = (high - low) / 4, power = Math.pow(10, Math.floor(Math.log10(raw)));
  var step = power * [1, 2, 2.5, 5, 10].find(function (factor) { return factor * power >= raw * 0.999; });
  var steps = [];
  for (var n = Math.floor(low / step + 1e-9); n * step < high + step * 0.999; n++) steps.push(n * step);
  return steps;
}

function filesOf(page) {
  return make("div", { "class": "files" }, [make("p", {}, "Every prediction behind these numbers:")].concat([
    make("ul", {}, page.files.map(function (file) {
      return make("li", {}, [make("code", {}, file[0]), make("span", { "class": "soft" }, " trainings " + file[1])]);
    }))]).concat(page.kept.length ? [make("p", {}, "Kept models, for emoadapt predict:"), make("ul", {}, page.kept.map(function (folder) {
      return make("li", {}, make("code", {}, folder));
    }))] : []));
}

function openPage(details) {
  if (details.drawn) return;
  details.drawn = true;
  drawPage(details.querySelector(".drawn"), PAGES[Number(details.getAttribute("data-page"))]);
}

function followHash() {
  var target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (var node = target; node; node = node.parentElement) {
    if (node.tagName !== "DETAILS") continue;
    node.hidden = false;
    node.open = true;
    if (node.classList.contains("page")) openPage(node);
  }
  target.scrollIntoView();
}

// --- a hint beside what is wider than the page, since many systems hide scroll bars

function hintWidth(box) {
  var hint = box.nextElementSibling && box.nextElementSibling.classList.contains("hint") ? box.nextElementSibling : null;
  var wide = box.scrollWidth > box.clientWidth + 1;
  box.classList.toggle("wide", wide);
  if (wide && !hint) box.insertAdjacentElement("afterend", make("p", { "class": "hint" }, "\u2194 wider than the page: scroll it sideways"));
  if (!wide && hint) hint.remove();
}

function hintAll() { document.querySelectorAll(".scroll, .picture").forEach(hintWidth); }

document.querySelectorAll("table.sortable").forEach(makeSortable);
document.querySelectorAll("input[data-filter]").forEach(makeFilter);
document.querySelectorAll("details.page").forEach(function (details) {
  details.addEventListener("toggle", function () { if (details.open) openPage(details); });
});
window.addEventListener("hashchange", followHash);
window.addEventListener("resize", hintAll);
document.addEventListener("toggle", hintAll, true);
hintAll();
if (location.hash) followHash();
