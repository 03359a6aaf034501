/* Latencies on a logarithmic scale, changes as bars below, and what was away as a shade. */
function drawPlot(history, to, width) {
  const narrow = width < 600;
  const box = { left: 44, right: narrow ? 8 : 76, top: 16, bottom: 150, bars: 196, height: 216 };
  const inner = width - box.left - box.right;
  const step = history.step_seconds * 1000;
  const end = Date.parse(history.end);
  /* As much time as is known, but not less than five minutes. */
  const span = Math.max(history.p50_ms.length * step, 300000);
  const x = (at) => box.left + inner * Math.min(1, Math.max(0, 1 - (end - at) / span));
  const at = (index) => x(end - (history.p50_ms.length - 1 - index) * step);

  const known = [...history.p50_ms, ...history.p99_ms].filter((ms) => ms !== null);
  const low = Math.floor(Math.log10(Math.min(...known, 10)));
  const high = Math.max(low + 2, Math.ceil(Math.log10(Math.max(...known, 100) * 1.05)));
  const y = (ms) => box.bottom - (box.bottom - box.top) * (Math.log10(ms) - low) / (high - low);

  const shapes = [];
  for (let power = low; power <= high; power += 1) {
    const level = y(10 ** power);
    shapes.push(svg("path", { d: `M${box.left} ${level}H${width - box.right}`, class: "grid" }));
    shapes.push(text(box.left - 6, level + 4, milliseconds(10 ** power), "muted", "end"));
  }
  shapes.push(...drawOutages(history, x, end - span, box));
  shapes.push(...drawBars(history, at, inner / (span / step), box));
  shapes.push(...drawLatencies(history, at, y, width, narrow, box));
  shapes.push(...drawTimes(x, end, span, width, narrow, box));
  return picture(width, box.height, describePlot(history, to), ...shapes);
}

function drawLatencies(history, at, y, width, narrow, box) {
  const line = (values) => values.map((ms, index) => (ms === null ? null : [at(index), y(ms)]));
  const [p50, p99] = [line(history.p50_ms), line(history.p99_ms)];
  const shapes = [];
  /* The area between the two lines, one piece for each stretch without a gap. */
  let piece = [];
  for (let index = 0; index <= p50.length; index += 1) {
    if (p50[index]) {
      piece.push(index);
    } else if (piece.length) {
      const round = [...piece.map((i) => p50[i]), ...piece.reverse().map((i) => p99[i])];
      shapes.push(svg("path", { d: `${path(round)}Z`, class: "between" }));
      if (piece.length === 1) shapes.push(svg("circle", { cx: round[0][0], cy: round[0][1], r: 2, class: "dot" }));
      piece = [];
    }
  }
  shapes.push(svg("path", { d: path(p99), class: "p99" }), svg("path", { d: path(p50), class: "p50" }));
  const last = p50.findLastIndex((point) => point !== null);
  if (last >= 0 && !narrow) {
    const lower = Math.max(p50[last][1], p99[last][1] + 14);
    shapes.push(text(width - box.right + 6, p99[last][1] + 2, `p99 ${milliseconds(history.p99_ms[last])}`, "muted"));
    shapes.push(text(width - box.right + 6, lower + 4, `p50 ${milliseconds(history.p50_ms[last])}`, "strong"));
  }
  return shapes;
}

function drawBars(history, at, room, box) {
  const most = Math.max(...history.changes, 1);
  const width = Math.max(room - 0.6, 0.8);
  const bars = history.changes.map((number, index) => {
    const height = number ? Math.max(1.5, 28 * number / most) : 0;
    return height ? svg("rect", { x: at(index) - width, y: box.bars - height, width, height, class: "bar" }) : null;
  });
  const rate = `${perSecond(most / history.step_seconds)}`;
  return [...bars.filter((bar) => bar !== null),
    svg("path", { d: `M${box.left} ${box.bars}h${at(history.changes.length - 1) - box.left}`, class: "grid" }),
    history.changes.some((number) => number) ? text(box.left - 6, box.bars - 20, rate, "muted", "end") : null,
    text(box.left - 6, box.bars + 2, "0/s", "muted", "end")].filter((shape) => shape !== null);
}

function drawOutages(history, x, begin, box) {
  return history.outages.filter(({ to }) => to === null || Date.parse(to) > begin).flatMap(({ what, from, to }) => {
    const [start, stop] = [x(Date.parse(from)), to === null ? x(Infinity) : x(Date.parse(to))];
    const width = Math.max(stop - start, 2);
    const words = AWAY[what] ?? what;
    /* Where the band is too narrow for its name, the name begins where there is room. */
    const right = start + words.length * 6.5 > x(Infinity);
    return [
      svg("rect", { x: start, y: box.top, width, height: box.bars - box.top, class: "shade" }),
      svg("path", { d: `M${start} ${box.top}V${box.bars}`, class: "edge" }),
      text(right ? x(Infinity) : start + 3, box.top - 4, words, "away", right ? "end" : "start"),
    ];
  });
}

function drawTimes(x, end, span, width, narrow, box) {
  const every = span > 900000 ? 300000 : 60000;
  const labels = [];
  for (let at = Math.ceil((end - span) / every) * every; at <= end; at += every * (narrow ? 2 : 1)) {
    if (x(at) > box.left + 14 && x(at) < width - box.right - 8) {
      labels.push(text(x(at), box.height - 4, clock(at), "muted", "middle"));
    }
  }
  return labels;
}

function describePlot(history, to) {
  const last = history.p50_ms.findLastIndex((ms) => ms !== null);
  const minutes = Math.max(1, Math.round(history.p50_ms.length * history.step_seconds / 60));
  const outages = history.outages.map(({ what, from, to: until }) =>
    ` ${AWAY[what] ?? what} from ${clock(from)} ${until === null ? "on" : `to ${clock(until)}`}.`);
  if (last < 0) return `No changes in the last ${minutes} min.${outages.join("")}`;
  const worst = Math.max(...history.p99_ms.filter((ms) => ms !== null));
  return `Time from being seen to ${to}, over the last ${minutes} min: lately p50 ${milliseconds(history.p50_ms[last])}, `
    + `p99 ${milliseconds(history.p99_ms[last])}; the worst p99 was ${milliseconds(worst)}.${outages.join("")}`;
}
