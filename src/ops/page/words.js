"use strict";

/* A shape beside each colour, for whoever does not tell colours apart. */
const MARKS = { good: "✓", attention: "▲", bad: "✕", unseen: "–" };
const LEVELS = { good: "good", attention: "needs attention", bad: "bad", unseen: "not seen" };
const AWAY = {
  directory: "no directory",
  queue: "no queue",
  graph: "Graph away",
  throttled: "Graph asked to wait",
  paused: "paused",
};

function milliseconds(ms) {
  if (ms === null) return "–";
  if (ms === 0) return "0 s";
  if (ms < 10) return `${Math.round(ms * 10) / 10} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${Number((ms / 1000).toFixed(1))} s`;
  if (ms < 119500) return `${Math.round(ms / 1000)} s`;
  return `${Math.round(ms / 60000)} min`;
}

function perSecond(rate) {
  if (rate === null) return "";
  if (rate === 0) return "0/s";
  return rate < 10 ? `${Math.max(rate, 0.1).toFixed(1)}/s` : `${Math.round(rate)}/s`;
}

const count = (number) => number.toLocaleString("en");

function age(then, now) {
  const seconds = Math.max(0, Math.round((now - new Date(then)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

const two = (number) => String(number).padStart(2, "0");

/* By the reader's clock. With the day where that is another one. */
function clock(instant, { seconds = false } = {}) {
  const at = new Date(instant);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ""}`;
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? time : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`;
}
