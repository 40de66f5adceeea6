"use strict";
// The browser of transcripts. What was said is put in as text and never as HTML. What is chosen stands
// behind the # of the address, so that a found game can be sent as a link.
(function () {
  const games = JSON.parse(document.getElementById("games").textContent);
  const at = (id) => document.getElementById(id);
  const measures = { q: "Q", v: "V", advantage: "advantage Q − V" };
  const texts = games.map((game) => game.turns.map((turn) => turn.text).concat(game.task).join("\n").toLowerCase());
  let chosen = 0;

  function made(tag, text, className) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  function options(id, pairs) {
    for (const [value, text] of pairs) {
      const option = made("option", text);
      option.value = value;
      at(id).append(option);
    }
  }

  function measured(token, measure) {
    const [, q, v] = token;
    if (measure === "q") return q;
    if (measure === "v") return v;
    return q === null || v === null ? null : q - v;
  }

  function number(value) {
    return value === null ? "–" : value.toFixed(3).replace("-", "−");
  }

  function signed(value) {
    return (value > 0 ? "+" : "") + String(Math.round(value * 1000) / 1000).replace("-", "−");
  }

  function matching() {
    const words = at("search").value.toLowerCase();
    const found = games.map((game, i) => i).filter((i) =>
      (!at("environment").value || games[i].environment === at("environment").value) &&
      (!at("agent").value || games[i].agent === at("agent").value) &&
      (!words || texts[i].includes(words)));
    const sign = { low: 1, high: -1 }[at("order").value] || 0;
    return found.sort((a, b) => sign * (games[a].return - games[b].return) || a - b);
  }

  function list() {
    const found = matching();
    at("count").textContent = `${found.length} of ${games.length} games`;
    if (!found.includes(chosen)) chosen = found.length ? found[0] : -1;
    at("list").replaceChildren(...found.map((i) => {
      const game = games[i];
      const said = game.turns.filter((turn) => turn.acts).length;
      const words = `${game.agent}, run ${game.run}: return ${signed(game.return)}, ${said} turns, ${game.end}`;
      const button = made("button", words);
      button.type = "button";
      button.setAttribute("aria-current", String(i === chosen));
      button.addEventListener("click", () => { chosen = i; update(); });
      const item = made("li");
      item.append(button);
      return item;
    }));
    show();
  }

  function marked(element, text) {
    const words = at("search").value.toLowerCase();
    const lower = text.toLowerCase();
    let from = 0;
    // A letter may change its length with its case: then nothing is marked.
    for (let to; words && lower.length === text.length && (to = lower.indexOf(words, from)) >= 0; from = to + words.length) {
      element.append(text.slice(from, to), made("mark", text.slice(to, to + words.length)));
    }
    element.append(text.slice(from));
    return element;
  }

  function colour(value, low, high, measure) {
    if (value === null) return "transparent";
    if (measure === "advantage") {
      const share = Math.abs(value) / (Math.max(Math.abs(low), Math.abs(high)) || 1);
      return value < 0 ? `rgba(213, 94, 0, ${0.75 * share})` : `rgba(0, 114, 178, ${0.75 * share})`;
    }
    return `rgba(0, 158, 115, ${high > low ? 0.75 * (value - low) / (high - low) : 0.3})`;
  }

  function heat(tokens, low, high, measure) {
    const line = made("span", undefined, "heat");
    for (const token of tokens) {
      const cell = made("span", token[0].replaceAll("\n", "⏎").replaceAll(" ", "␣"));
      cell.style.background = colour(measured(token, measure), low, high, measure);
      cell.title = `Q ${number(token[1])}   V ${number(token[2])}   advantage ${number(measured(token, "advantage"))}`;
      line.append(cell, " ");
    }
    return line;
  }

  function show() {
    const game = games[chosen];
    if (!game) {
      at("game").replaceChildren(made("p", "No game."));
      return;
    }
    const measure = at("heat").value;
    const values = game.turns.flatMap((turn) => turn.tokens || [])
      .map((token) => measured(token, measure)).filter((value) => value !== null);
    const low = Math.min(...values), high = Math.max(...values);
    const about = `${game.environment} · ${game.agent}, training seed ${game.run} · game seed ${game.seed}` +
      (game.task ? ` · task ${game.task}` : "") + ` · return ${signed(game.return)} · ${game.end}` +
      (game.success ? " · success" : "");
    const parts = [made("p", about)];
    if (values.length) parts.push(made("p", `Colour: ${measures[measure]} from ${number(low)} to ${number(high)} in this game.`));
    let sum = 0;
    for (const turn of game.turns) {
      const line = made("div", undefined, turn.acts ? "turn acts" : "turn");
      const said = marked(made("div", undefined, "said"), turn.text.replace(/\n$/, ""));
      if (turn.acts) sum += turn.reward;
      if (turn.tokens && values.length) said.append(heat(turn.tokens, low, high, measure));
      line.append(made("div", turn.acts ? "agent" : "game", "who"), said,
        made("div", turn.acts ? `${signed(turn.reward)}  (Σ ${signed(sum)})` : "", "paid"));
      parts.push(line);
    }
    at("game").replaceChildren(...parts);
  }

  function update() {
    const state = new URLSearchParams();
    for (const id of ["search", "environment", "agent", "order", "heat"]) if (at(id).value) state.set(id, at(id).value);
    list();
    state.set("game", String(chosen));
    history.replaceState(null, "", "#" + state);
  }

  function restore() {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const id of ["search", "environment", "agent", "order", "heat"]) {
      const value = state.get(id);
      const known = id === "search" || [...at(id).options].some((option) => option.value === value);
      if (value !== null && known) at(id).value = value;
    }
    if (state.has("game")) chosen = Number(state.get("game"));
    list();
  }

  options("environment", [["", "all environments"], ...[...new Set(games.map((game) => game.environment))].map((x) => [x, x])]);
  options("agent", [["", "all agents"], ...[...new Set(games.map((game) => game.agent))].map((x) => [x, x])]);
  const judged = games.flatMap((game) => game.turns).flatMap((turn) => turn.tokens || []);
  const told = Object.keys(measures).filter((measure) => judged.some((token) => measured(token, measure) !== null));
  options("heat", told.map((measure) => [measure, "colour: " + measures[measure]]));
  at("heat").hidden = !told.length;
  if (told.length) at("heat").value = told[told.length - 1];
  for (const id of ["search", "environment", "agent", "order", "heat"]) at(id).addEventListener("input", update);
  window.addEventListener("hashchange", restore);
  restore();
})();
