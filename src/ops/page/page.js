const EVERY = 2000;
const PATIENCE = 5000;

let shown = null;
let failedSince = null;

function sentence({ text: begin, since, rest }) {
  return `${begin}${since ? ` since ${clock(since)}` : ""}${rest}`;
}

function showHead(told) {
  const { headline, process } = told;
  const words = `${MARKS[headline.level]} ${sentence(headline)}`;
  /* Told to a screen reader when it changes, not with every poll. */
  if ($("headline").textContent !== words) $("headline").textContent = words;
  $("headline").dataset.level = headline.level;
  document.title = `${MARKS[headline.level]} ${sentence(headline)} · entra-relay`;
  const up = process.started ? `, up ${age(process.started, new Date(told.time))}` : "";
  $("process").textContent = `entra-relay ${process.role}, version ${process.version}${up}`;
  $("notes").replaceChildren(...told.notes.map((note) =>
    html("li", { "data-level": note.level, "data-mark": MARKS[note.level] }, note.text,
      ...(note.command ? [": ", html("code", {}, note.command)] : []))));
  $("unseen").textContent = told.unseen ?? "";
}

function number(name, value, level, part) {
  const words = level ? `${MARKS[level]} ${value}` : value;
  return html("div", { class: part }, html("dt", {}, name), html("dd", { "data-level": level }, words));
}

function showNumbers({ process: { watcher, consumer }, queues, waiting, time }) {
  const unknown = "not known from here";
  const above = (value) => (value > 0 ? "attention" : undefined);
  const letters = queues?.dead_letters ?? null;
  const reasons = Object.entries(queues?.dead_letters_by_reason ?? {});
  const rows = [
    number("Waiting, queued or in hand", waiting === null ? unknown : count(waiting)),
    number("Parked, not in Entra yet", queues?.parked == null ? unknown : count(queues.parked)),
    number("Dead letters", letters === null ? unknown : count(letters), above(letters)),
    ...reasons.map(([reason, letters]) => number(reason, count(letters), undefined, "part")),
    number("Users held by the guard", watcher ? count(watcher.held_users) : unknown, above(watcher?.held_users)),
    number("Postponed, the DC lags", watcher ? count(watcher.postponed) : unknown),
  ];
  if (consumer) {
    const left = Math.round(consumer.quota_left_percent);
    const disable = consumer.last_disable;
    rows.push(
      number("Quota of writes left", html("span", {},
        html("meter", { min: 0, max: 100, low: 25, value: left, "aria-hidden": "true" }), `${left} %`)),
      number("Throttled by Graph", `${count(consumer.throttled)}×`),
      number("Last disable", disable
        ? `${age(disable.at, new Date(time))} ago, after ${milliseconds(disable.seconds * 1000)}`
        : "none since the start"),
    );
  } else {
    rows.push(number("Quota, throttling, last disable", unknown));
  }
  $("numbers").replaceChildren(...rows);
}

/* A long name of a type may break at its dot. */
const breakable = (kind) => kind.split(/(?<=\.)/).flatMap((part) => [part, html("wbr", {})]);

function showChanges(changes) {
  $("no-changes").hidden = changes.length > 0;
  const levels = { dead_lettered: "bad", parked: "attention", refreshed: "attention" };
  $("changes").replaceChildren(...changes.slice(0, 12).map((change) => {
    const result = change.result.replaceAll("_", " ") + (change.reason ? `: ${change.reason}` : "");
    return html("tr", {},
      html("td", {}, clock(change.time, { seconds: true })),
      html("td", { class: "long" }, ...breakable(change.kind),
        change.user === undefined ? null : html("span", { class: "user" }, change.user)),
      html("td", { class: "long", "data-level": levels[change.result] }, result),
      html("td", { class: "number" }, milliseconds(change.latency_ms)));
  }));
}

function showPictures(told) {
  const width = Math.floor($("flow").clientWidth);
  $("flow").replaceChildren(drawFlow(told.stops, told.hops, width));
  $("plot").replaceChildren(drawPlot(told.history, told.latency.to, width));
  const { changes, p50_ms: p50, p99_ms: p99, to, window_seconds: window } = told.latency;
  const lately = window === 60 ? "the last minute" : `the last ${window / 60} minutes`;
  $("latency").textContent = changes === 0
    ? `From being seen to ${to === "graph" ? "Graph's answer" : "the queue's confirm"}: no change in ${lately}.`
    : `From being seen to ${to === "graph" ? "Graph's answer" : "the queue's confirm"}, ${lately}: `
      + `${count(changes)} changes, p50 ${milliseconds(p50)} (thick line), p99 ${milliseconds(p99)} (thin).`;
}

function show(told) {
  showHead(told);
  showPictures(told);
  showNumbers(told);
  showChanges(told.last_changes);
  document.body.dataset.polls = Number(document.body.dataset.polls ?? 0) + 1;
}

/* Old numbers must not pass for new ones: they are greyed, and their age is told. */
function showAge() {
  const now = Date.now();
  document.body.classList.toggle("stale", failedSince !== null);
  $("stale").hidden = failedSince === null;
  if (failedSince !== null) {
    const old = shown ? `What is shown is ${age(shown.at, now)} old.` : "It has not answered yet.";
    $("stale").textContent = `✕ This page cannot reach the relay since ${clock(failedSince, { seconds: true })}. ${old}`;
    document.title = "✕ No answer · entra-relay";
  }
  $("asked").textContent = shown ? `As of ${clock(shown.at, { seconds: true })}.` : "";
}

async function ask() {
  let told = null;
  try {
    const answer = await fetch("/status.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (answer.ok) told = await answer.json();
  } catch { /* It is seen below. */ }
  setTimeout(ask, EVERY);
  if (told === null) {
    failedSince ??= Date.now();
  } else {
    shown = { told, at: Date.now() };
    failedSince = null;
    show(told);
  }
  showAge();
}

let drawn = 0;
new ResizeObserver(() => {
  const width = $("flow").clientWidth;
  if (shown && width !== drawn) showPictures(shown.told);
  drawn = width;
}).observe($("flow"));
setInterval(showAge, 1000);
ask();
