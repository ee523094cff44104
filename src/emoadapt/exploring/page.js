
// --- page of a corpus: what is chosen at the top decides the clips and points that are shown

var DATA = JSON.parse(document.getElementById("map-data").textContent)[0];
var CHOSEN = {};
var GREY = "#9aa0a6";

function fitsChoice(values) {
  return Object.keys(CHOSEN).every(function (name) {
    return !CHOSEN[name] || [].concat(values[name] || []).indexOf(CHOSEN[name]) >= 0;
  });
}

function applyChoice() {
  var entries = Array.from(document.querySelectorAll("[data-clip]"));
  entries.forEach(function (entry) {
    var values = { label: entry.dataset.label, speaker: entry.dataset.speaker, sex: entry.dataset.sex, status: entry.dataset.status.split("|") };
    entry.classList.toggle("out", !fitsChoice(values));
  });
  var cards = entries.filter(function (entry) { return entry.classList.contains("card"); });
  var shown = cards.filter(function (card) { return !card.classList.contains("out"); }).length;
  var any = Object.keys(CHOSEN).some(function (name) { return CHOSEN[name]; });
  document.querySelector(".choose output").textContent = any ? shown + " of " + cards.length + " samples" : "";
}

// A link to a sample that the choice hides shows it all the same.
function showTarget() {
  var target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || !target.classList.contains("out")) return;
  target.classList.remove("out");
  target.scrollIntoView();
}

// --- the map

function seriesOf(column, clips) {
  var counts = {};
  clips.forEach(function (clip) { var value = clip[column] || ""; counts[value] = (counts[value] || 0) + 1; });
  var names = Object.keys(counts).filter(Boolean).sort(function (a, b) { return counts[b] - counts[a] || a.localeCompare(b); });
  var colours = Object.create(null);
  names.slice(0, DATA.colours.length).forEach(function (name, place) { colours[name] = DATA.colours[place]; });
  return { names: names.slice(0, DATA.colours.length), others: names.length - DATA.colours.length, unknown: counts[""] || 0, counts: counts, colours: colours };
}

function drawMap(place) {
  var state = { map: 0, column: ["label", "speaker", "sex", "split"].find(function (name) {
    return DATA.clips.some(function (clip) { return clip[name]; });
  }) || "label", picked: -1 };
  var left = make("div"), right = make("div", { "class": "detail", "aria-live": "polite" }, make("p", { "class": "soft" }, "No clip is chosen."));
  place.appendChild(choicesOfMap(state, redraw));
  place.appendChild(left);
  place.appendChild(right);

  function pick(number, circle) {
    state.picked = number;
    left.querySelectorAll("circle.picked").forEach(function (other) { other.classList.remove("picked"); });
    circle.classList.add("picked");
    right.replaceChildren(describeClip(DATA.clips[number]));
  }

  function redraw() {
    var map = DATA.maps[state.map], series = seriesOf(state.column, map.clips.map(function (number) { return DATA.clips[number]; }));
    left.replaceChildren(pointsOf(map, state, series, pick), legendOf(series), make("p", { "class": "shared" }, map.note));
  }
  redraw();
  return redraw;
}

function choicesOfMap(state, redraw) {
  var box = make("p", { "class": "choices" });
  function choose(label, key, options, value) {
    var select = make("select", {}, options.map(function (option) { return make("option", { value: option[0] }, option[1]); }));
    select.value = String(value);
    select.addEventListener("change", function () {
      state[key] = key === "map" ? Number(select.value) : select.value;
      redraw();
    });
    box.appendChild(make("label", {}, [label + " ", select]));
  }
  choose("Feature", "map", DATA.maps.map(function (map, place) { return [place, map.feature]; }), 0);
  choose("Colour", "column", ["label", "speaker", "sex", "split"].map(function (name) { return [name, name]; }), state.column);
  return box;
}

function pointsOf(map, state, series, pick) {
  var width = 640, height = 440, edge = 14;
  var box = [map.x, map.y].map(function (values) {
    var low = Math.min.apply(null, values), high = Math.max.apply(null, values);
    return { low: low, size: high - low || 1 };
  });
  var picture = draw("svg", { viewBox: "0 0 " + width + " " + height, role: "group", "aria-label": "Map of " + map.clips.length + " clips by " + map.feature });
  map.clips.forEach(function (number, i) {
    var clip = DATA.clips[number];
    if (!fitsChoice(clip)) return;
    var circle = draw("circle", {
      cx: (edge + (width - 2 * edge) * (map.x[i] - box[0].low) / box[0].size).toFixed(1),
      cy: (height - edge - (height - 2 * edge) * (map.y[i] - box[1].low) / box[1].size).toFixed(1),
      r: map.clips.length > 800 ? 3.2 : 4.6, fill: series.colours[clip[state.column]] || GREY
    }, draw("title", {}, clip.utterance_id + (clip[state.column] ? " \u00b7 " + clip[state.column] : "")));
    if (number === state.picked) circle.classList.add("picked");
    circle.addEventListener("click", function () { pick(number, circle); });
    picture.appendChild(circle);
  });
  return picture;
}

function legendOf(series) {
  var entries = series.names.map(function (name) { return [name + " (" + series.counts[name] + ")", series.colours[name]]; });
  if (series.others > 0) entries.push([series.others + " more", GREY]);
  if (series.unknown) entries.push(["unknown (" + series.unknown + ")", GREY]);
  return make("ul", { "class": "legend" }, entries.map(function (entry) {
    var dot = make("i");
    dot.style.background = entry[1];
    return make("li", {}, [dot, entry[0]]);
  }));
}

function describeClip(clip) {
  var video = Boolean(document.querySelector(".card video"));
  var facts = [clip.label || "no label", clip.speaker || "speaker unknown", clip.sex, clip.split, clip.seconds === null ? null : clip.seconds + " s"];
  var parts = [
    make("b", {}, clip.utterance_id),
    make("p", { "class": "shared" }, facts.filter(Boolean).join(" \u00b7 ")),
    watchMedia(make(video ? "video" : "audio", { controls: "", preload: "none", src: clip.url })),
    make("ul", {}, clip.remarks.map(function (text) { return make("li", {}, text); }))
  ];
  if (clip.anchor) parts.push(make("p", {}, make("a", { href: "#" + clip.anchor }, "Waveform and spectrogram")));
  return make("div", {}, parts);
}

// --- media that the browser does not play

function watchMedia(player) {
  player.addEventListener("error", function () {
    if (player.nextSibling && player.nextSibling.className === "failure") return;
    var link = make("a", { href: player.getAttribute("src") }, "open the file");
    player.after(make("p", { "class": "failure" }, ["This browser cannot play it here, or the file was moved: ", link, "."]));
  });
  return player;
}

document.querySelectorAll("audio, video").forEach(watchMedia);
var redrawMap = DATA.maps.length ? drawMap(document.getElementById("drawn-map")) : function () {};
document.querySelectorAll("select[data-choose]").forEach(function (select) {
  select.addEventListener("change", function () {
    CHOSEN[select.getAttribute("data-choose")] = select.value;
    applyChoice();
    redrawMap();
  });
});
window.addEventListener("hashchange", showTarget);
