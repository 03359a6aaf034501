/* The way of a change: in a row where there is room for it, else from top to bottom. */
function drawFlow(stops, hops, width) {
  const across = width >= 880;
  const gap = across ? 104 : 46;
  const size = across
    ? { width: (width - 4 * gap) / 5, height: 96 }
    : { width, height: 62 };
  const shapes = stops.map((stop, index) => {
    const step = index * ((across ? size.width : size.height) + gap);
    const [x, y] = across ? [step, 0] : [0, step];
    return drawStop(stop, x + 1, y + 1, { width: size.width - 2, height: size.height }, across);
  });
  hops.forEach((hop, index) => {
    const end = (index + 1) * ((across ? size.width : size.height) + gap);
    shapes.push(across ? drawAcross(hop, end - gap, end, size.height / 2) : drawDown(hop, end - gap + 2, end, width));
  });
  const height = across ? size.height + 2 : 5 * size.height + 4 * gap + 2;
  return picture(width, height, describe(stops, hops), ...shapes);
}

function drawStop(stop, x, y, { width, height }, across) {
  const state = `${MARKS[stop.level]} ${stop.state}`;
  const lines = across
    ? stop.lines.slice(0, 2).map((line, index) => text(x + 12, y + 62 + index * 18, line, "muted"))
    : [text(x + 12, y + 50, stop.lines.join(" · "), "muted")];
  return svg("g", { "data-level": stop.level },
    svg("rect", { x, y, width, height, rx: 8, class: "stop" }),
    text(x + 12, y + 24, stop.name, "strong"),
    across ? text(x + 12, y + 43, state, "level") : text(x + width - 12, y + 24, state, "level", "end"),
    ...lines);
}

function lagOf(hop) {
  return hop.lag_ms === null ? "" : milliseconds(hop.lag_ms);
}

function drawAcross(hop, from, to, y) {
  const middle = (from + to) / 2;
  const unit = hop.of === "requests" && hop.state !== "unseen" ? " requests" : "";
  return svg("g", { "data-state": hop.state },
    svg("path", { d: `M${from + 8} ${y}H${to - 14}`, class: "way" }),
    svg("path", { d: `M${to - 15} ${y - 5}l9 5l-9 5z`, class: "tip" }),
    text(middle, y - 10, hop.state === "blocked" ? "✕ blocked" : perSecond(hop.per_second) + unit, hop.state === "blocked" ? "away" : "", "middle"),
    hop.lag_ms === null ? null : text(middle, y + 20, lagOf(hop), "strong", "middle"),
    hop.lag_ms === null ? null : text(middle, y + 35, hop.lag, "muted", "middle"));
}

function drawDown(hop, from, to, width) {
  const x = 28;
  const unit = hop.of === "requests" ? " requests" : "";
  const rate = hop.state === "unseen" ? "not seen here" : perSecond(hop.per_second) + unit;
  const lag = hop.lag_ms === null ? "" : ` · ${lagOf(hop)} ${hop.lag}`;
  const middle = (from + to) / 2 + 4;
  return svg("g", { "data-state": hop.state },
    svg("path", { d: `M${x} ${from + 5}V${to - 12}`, class: "way" }),
    svg("path", { d: `M${x - 5} ${to - 13}l5 9l5 -9z`, class: "tip" }),
    text(x + 18, middle, hop.state === "blocked" ? `✕ blocked${lag}` : rate + lag, hop.state === "blocked" ? "away" : "muted"));
}

function describe(stops, hops) {
  const words = stops.map((stop, index) => {
    const hop = hops[index];
    const here = `${stop.name}: ${stop.state} (${LEVELS[stop.level]})${stop.lines.map((line) => `, ${line}`).join("")}.`;
    if (!hop) return here;
    const rate = hop.per_second === null ? "not seen here" : `${perSecond(hop.per_second)} ${hop.of}`;
    const lag = hop.lag_ms === null ? "" : `, ${lagOf(hop)} ${hop.lag}`;
    return `${here} Then ${hop.state}: ${rate}${lag}.`;
  });
  return words.join(" ");
}
