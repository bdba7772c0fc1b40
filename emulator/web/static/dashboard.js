// The dashboard: asks what `smets1 serve` answers, draws it, and sends wishes back.
//
// It knows nothing that the API does not say: the fields of a fault come from the fault's own description, states from
// the machines. Everything is asked of the server that gave this page, and texts are set as texts, never as markup. The
// token comes in the address's fragment, which no server sees, is taken out of it, and is kept for this tab alone.
// One glance a second draws the estate; a home's journal comes as a stream, which goes on where it broke off.

const TICK_MS = 1000, AGAIN_MS = 1000, SHOWN = 300, SAMPLES = 300;
const LOOK_BACK = 10000; // entries asked for when a home's journal is opened
const TOKEN = "smets1-token";

const $ = (id) => document.getElementById(id);
const state = { home: 0, total: 1, status: null, glance: null, course: null, by: "verdict", samples: [], migration: null, since: 0 };

// Small tools

function make(name, props = {}, ...children) {
  const found = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") found.className = value;
    else if (key.startsWith("on")) found.addEventListener(key.slice(2), value);
    else if (key in found && !key.startsWith("aria")) found[key] = value;
    else found.setAttribute(key, value);
  }
  found.append(...children.filter((each) => each !== undefined && each !== null));
  return found;
}
const set = (element, text) => { if (element.textContent !== String(text)) element.textContent = text; };
const count = (number) => Number(number).toLocaleString("en-GB");
const many = (number, one, more = one + "s") => `${count(number)} ${number === 1 ? one : more}`;
const wait = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
});
const moment = (text) => text.replace("T", " ").replace(/\.\d+Z$|Z$/, "");
const instant = (us) => moment(new Date(us / 1000).toISOString());
const signed = (us) => `${us < 0 ? "−" : "+"}${(Math.abs(us) / 1e6).toFixed(Math.abs(us) < 1e7 ? 2 : 0)} s`;
const chip = (element, text, kind = "") => { set(element, text); element.className = `chip ${kind}`; };

// Asking

class Problem extends Error {
  constructor(status, body) {
    super(body.error ? `${body.error} (${body.where}): ${body.cure}` : `status ${status}`);
    this.status = status;
  }
}

async function ask(method, path, body, signal) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  if (answer.status === 401) { shut("The server does not take this token. It is in the ready line of the server that runs now."); }
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  return answer;
}
const get = async (path) => (await ask("GET", path)).json();
const post = async (path, body = {}) => (await ask("POST", path, body)).json();

function tell(text, kind = "") {
  $("told").className = kind;
  set($("told"), text);
}

// A wish, told from its beginning to its end. What takes virtual time is a task, and looked at until it has ended.
async function wish(name, path, body) {
  tell(`${name} …`);
  try {
    let answer = await post(path, body);
    for (let pause = 100; answer.task !== undefined && answer.state === "running" && answer.command !== "migrate"; pause = Math.min(2 * pause, 1000)) {
      tell(`${name}: under way, in virtual time (task ${answer.task})`);
      await wait(pause);
      answer = await get(`/v1/task?task=${answer.task}`);
    }
    if (answer.problem) throw new Problem(0, answer.problem);
    const outcome = answer.task !== undefined ? answer.answer : answer;
    tell(`${name}: ${inShort(outcome)}`, "good");
    return answer;
  } catch (error) {
    if (!(error instanceof Problem) && !(error instanceof TypeError)) throw error;
    tell(`${name}: ${error.message}`, "bad");
    return null;
  } finally {
    look();
  }
}
const inShort = (answer) => {
  if (answer === null || typeof answer !== "object") return "done";
  const plain = Object.entries(answer).filter(([key, value]) => ["string", "number", "boolean"].includes(typeof value)
    && !["now", "due", "since", "until", "begun", "state"].includes(key));
  return plain.length ? plain.map(([key, value]) => `${key} ${value}`).join(", ") : "done";
};
const atHome = (verb, device) => `/v1/installations/${state.home}/${device ? device + "/" : ""}${verb}`;

// The gate

function shut(why) {
  sessionStorage.removeItem(TOKEN);
  listening?.abort();
  listening = null;
  $("page").hidden = true;
  $("gate").hidden = false;
  if (why) set($("gate-why"), why);
  $("gate-token").focus();
}

function fragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.get("token")) sessionStorage.setItem(TOKEN, given.get("token"));
  const home = Number(given.get("home"));
  if (Number.isInteger(home) && home >= 0) state.home = home;
  if (given.has("token")) history.replaceState(null, "", `#home=${state.home}`);
}

// The round: once a second while somebody looks

let timer = null, looking = false;
function look(ms = 0) {
  clearTimeout(timer);
  timer = setTimeout(round, ms);
}

async function round() {
  if (looking || document.hidden || !sessionStorage.getItem(TOKEN)) return;
  looking = true;
  try {
    const [status, glance, faults] = await Promise.all([get("/v1/status"), get("/v1/glance"), get("/v1/faults")]);
    state.status = status;
    state.total = status.installations;
    chip($("wire"), "connected", "good");
    drawStatus(status);
    drawGlance(glance);
    drawLink(glance);
    drawAlerts(glance.alerts);
    drawKeys(glance.keys);
    drawFaults(faults.faults);
    if (!state.course || state.course.running || state.glance === null || ended(glance) !== ended(state.glance)
      || status.tasks_running) drawCourse(await get("/v1/course"));
    state.glance = glance;
    drawHome(await get(atHome("state?log=8")));
  } catch (error) {
    if (!sessionStorage.getItem(TOKEN)) return;
    if (error instanceof Problem && error.status === 404 && state.home >= state.total) choose(0);
    else if (error instanceof Problem) tell(error.message, "bad");
    else if (error instanceof TypeError) chip($("wire"), "no connection; trying again", "bad");
    else throw error;
  } finally {
    looking = false;
    look(TICK_MS);
  }
}
const ended = (glance) => glance.verdicts.migrated + glance.verdicts.failed + glance.verdicts.unrecoverable;

function drawStatus(status) {
  set($("estate"), status.estate);
  set($("title"), `${status.title} · seed ${status.seed} · ${status.timing} timing`);
  document.title = `${status.estate} · SMETS1 emulator`;
  set($("time"), moment(status.clock.time));
  set($("speed"), status.clock.speed ? `${count(status.clock.speed)}×` : "stands");
  for (const each of document.querySelectorAll("[data-speed]"))
    each.setAttribute("aria-pressed", Number(each.dataset.speed) === status.clock.speed);
  set($("link-kind"), status.link_kind);
}

// The estate

const VERDICTS = ["migrated", "failed", "unrecoverable"];

function drawGlance(glance) {
  const { verdicts, activity } = glance, status = state.status;
  const tallies = {
    homes: status.installations, pending: verdicts.pending, migrated: verdicts.migrated, failed: verdicts.failed,
    unrecoverable: verdicts.unrecoverable, asleep: activity.asleep, awake: activity.awake, talking: activity.talking,
    exchanges: status.exchanges, tasks: status.tasks_running,
  };
  const shown = $("tallies");
  if (!shown.children.length)
    shown.append(...Object.keys(tallies).map((name) => make("div", {}, make("dt", {}, name), make("dd", { id: `tally-${name}` }))));
  for (const [name, number] of Object.entries(tallies)) set($(`tally-${name}`), count(number));
  const small = glance.homes.length > 0;
  $("dots").hidden = !small;
  $("strip").hidden = small;
  if (small) drawDots(glance.homes); else drawStrip(glance.cells);
}

function drawDots(homes) {
  const box = $("dots");
  box.classList.toggle("dense", homes.length > 96);
  if (box.children.length !== homes.length)
    box.replaceChildren(...homes.map((home) => make("button", { onclick: () => choose(home.installation) }, String(home.installation))));
  homes.forEach((home, at) => {
    const dot = box.children[at], here = home.installation === state.home;
    dot.className = `dot ${home.verdict} ${home.activity}${home.doubt ? " doubt" : ""}`;
    const words = `home ${home.installation}: ${home.verdict}, ${home.activity}, keys of generation ${home.generation}${home.doubt ? ", in doubt" : ""}`;
    if (dot.title !== words) { dot.title = words; dot.setAttribute("aria-label", words); }
    dot.setAttribute("aria-pressed", here);
    dot.tabIndex = here ? 0 : -1;
  });
}

function drawStrip(cells) {
  const box = $("strip");
  if (box.children.length !== cells.length)
    box.replaceChildren(...cells.map((cell) => make("button", { class: "cell", onclick: () => choose(cell.first) },
      ...VERDICTS.map((name) => make("i", { class: name })), make("i", { class: "busy" }))));
  cells.forEach((cell, at) => {
    const bar = box.children[at], here = state.home >= cell.first && state.home < cell.first + cell.homes;
    VERDICTS.forEach((name, place) => { bar.children[place].style.height = `${100 * cell[name] / cell.homes}%`; });
    bar.children[3].style.opacity = Math.min(1, (cell.awake + cell.talking) / 64);
    bar.classList.toggle("black", cell.black);
    const words = `cell ${cell.cell}, homes ${cell.first} to ${cell.first + cell.homes - 1}: ` + VERDICTS.map((name) => `${cell[name]} ${name}`).join(", ")
      + `, ${cell.talking} talking, ${cell.doubt} in doubt${cell.black ? ", link black" : ""}`;
    if (bar.title !== words) { bar.title = words; bar.setAttribute("aria-label", words); }
    bar.setAttribute("aria-pressed", here);
    bar.tabIndex = here ? 0 : -1;
  });
}

// One stop for the Tab key, arrows within.
for (const box of [$("dots"), $("strip")])
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = [...box.children], at = all.indexOf(document.activeElement);
    const next = event.key === "Home" ? all[0] : event.key === "End" ? all.at(-1) : step && all[at + step];
    if (next) { event.preventDefault(); next.focus(); }
  });

// Charts

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const charts = new Map();
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number) => String(number).padStart(2, "0");

// Times along an axis: as fine as its steps, with the day where a day begins.
const times = (local) => (_, splits, axis, space, step) => splits.map((seconds, at) => {
  const whole = new Date(seconds * 1e3 - (local ? new Date(seconds * 1e3).getTimezoneOffset() * 60e3 : 0));
  const day = `${whole.getUTCDate()} ${MONTHS[whole.getUTCMonth()]}`;
  if (step >= 86400) return day;
  const time = `${two(whole.getUTCHours())}:${two(whole.getUTCMinutes())}${step < 60 ? `:${two(whole.getUTCSeconds())}` : ""}`;
  return !local && (at === 0 || time.startsWith("00:00")) ? `${time}\n${day}` : time;
});
const SHADES = ["failed", "migrated", "unrecoverable", "good", "quiet", "accent", "ink"];

function chart(id, key, series, data, options = {}) {
  const box = $(id);
  let drawn = charts.get(id);
  if (!drawn || drawn.key !== key) {
    drawn?.plot.destroy();
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 } };
    const plot = new uPlot({
      width: box.clientWidth || 300, height: 200, series: [options.x || {}, ...series],
      tzDate: options.local ? undefined : (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      axes: [{ ...axis, space: 90, values: times(options.local) }, { ...axis, size: 46, space: 22, incrs: options.whole ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4] : undefined, values: (_, all) => all.map((each) => (each === null ? "" : count(each))) }],
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.08)] }, ...options.scales },
      cursor: { drag: { x: false, y: false } },
    }, data, box);
    drawn = { key, plot };
    charts.set(id, drawn);
  } else drawn.plot.setData(data);
  const { plot } = drawn; // where nobody points, the legend tells the newest values
  requestAnimationFrame(() => { if (plot.cursor.left < 0 && plot.data[0].length) plot.setLegend({ idx: plot.data[0].length - 1 }); });
}

function resize() {
  for (const [id, { plot }] of charts) {
    const width = $(id).clientWidth;
    if (width && width !== plot.width) plot.setSize({ width, height: 200 });
  }
}
new ResizeObserver(resize).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const { plot } of charts.values()) plot.destroy();
  charts.clear();
  if (state.course) drawCourse(state.course);
});

// The campaign

function drawCourse(course) {
  state.course = course;
  const { progress } = course;
  $("migrate-cancel").hidden = !course.running;
  $("migrate").disabled = $("migrate-home").disabled = course.running;
  if (progress) {
    const parts = ["waiting", "open", "auditing", "migrated", "failed", "unrecoverable", "astray"].filter((name) => progress[name]);
    const sums = parts.map((name) => `${count(progress[name])} ${name}`).join(", ");
    set($("progress"), `${course.running ? "Under way" : progress.stopped ? `Stopped (${progress.stopped})` : "Ended"}: ${many(progress.homes, "home")}`
      + `${progress.already ? `, ${count(progress.already)} migrated before` : ""}${sums ? `; ${sums}` : ""}. Begun ${moment(course.begun).replaceAll("-", "\u2011")}.`);
  }
  const last = (counts) => (counts.length ? counts.at(-1) : 0);
  const causes = Object.entries(course.by_cause).sort((a, b) => last(b[1]) - last(a[1]));
  $("causes").hidden = !causes.length;
  $("causes").tBodies[0].replaceChildren(...causes.map(([cause, counts]) => make("tr", {},
    make("td", {}, cause), make("td", { class: "number" }, count(last(counts))), make("td", { class: "quiet" }, course.causes[cause]))));
  const lines = state.by === "verdict" ? VERDICTS.map((name) => [name, course[name], name])
    : causes.map(([cause, counts], at) => [cause, counts, SHADES[at % SHADES.length]]);
  $("course").hidden = !course.at.length || !lines.length;
  if ($("course").hidden) return;
  const series = lines.map(([label, , shade], at) => ({
    label, stroke: colour(shade), width: 2, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }),
    dash: state.by === "cause" && at >= SHADES.length ? [6, 4] : undefined,
  }));
  const x = { label: "virtual time", value: (_, seconds) => (seconds === null ? "–" : instant(seconds * 1e6)) };
  const range = (_, low, high) => (high - low < 10 ? [low - 5, high + 5] : [low, high]);
  chart("course", lines.map(([label]) => label).join(), series, [course.at.map((us) => us / 1e6), ...lines.map(([, counts]) => counts)],
    { x, whole: true, scales: { x: { time: true, range } } });
}

// Link, alerts, keys

function drawLink(glance) {
  const black = glance.cells.filter((cell) => cell.black).length;
  chip($("link-state"), black ? `black${glance.cells.length > 1 ? `: ${black} of ${many(glance.cells.length, "cell")}` : ""}` : "carries", black ? "bad" : "good");
  const because = (counts) => Object.entries(counts).map(([cause, number]) => `${count(number)} ${cause}`).join(", ");
  $("ways").replaceChildren(...[["down", "down"], ["up", "up"]].map(([way, words]) => {
    const { offered, delivered, lost, refused, lost_by, refused_by } = glance.link[way];
    return make("tr", { id: `way-${way}` }, make("th", { scope: "row" }, words), make("td", {}, count(offered)), make("td", {}, count(delivered)),
      make("td", {}, count(lost), make("small", {}, because(lost_by))), make("td", {}, count(refused), make("small", {}, because(refused_by))));
  }));
}

function drawAlerts(alerts) {
  set($("alerts-sum"), `${count(alerts.arrived)} arrived at the head end, ${count(alerts.refused)} of them refused`);
  const samples = state.samples, now = Date.now() / 1000, before = samples.at(-1);
  const rate = (name) => (before ? Math.max(0, alerts[name] - before[name]) / Math.max(.2, now - before.at) : 0);
  samples.push({ at: now, ...alerts, rates: [rate("refused"), rate("arrived")] });
  if (samples.length > SAMPLES) samples.shift();
  const text = (_, value) => (value === null ? "–" : `${value.toFixed(value < 10 ? 1 : 0)}/s`);
  chart("rate", "rate", [
    { label: "refused", stroke: colour("unrecoverable"), width: 2, points: { show: false }, value: text },
    { label: "arrived", stroke: colour("migrated"), width: 2, points: { show: false }, value: text, fill: colour("migrated") + "22" },
  ], [samples.map((each) => each.at), samples.map((each) => each.rates[0]), samples.map((each) => each.rates[1])],
  { local: true, x: { label: "real time", value: (_, at) => (at === null ? "–" : new Date(at * 1e3).toLocaleTimeString("en-GB")) },
    scales: { x: { time: true, range: (_, low, high) => [Math.min(low, high - 60), high] } } });
}

function drawKeys(keys) {
  const all = Object.values(keys.generations).reduce((a, b) => a + b, 0);
  $("generations").replaceChildren(...Object.entries(keys.generations).map(([generation, homes]) => {
    const bar = make("span", { class: "bar" });
    bar.style.width = `${100 * homes / all}%`;
    return make("tr", {}, make("td", {}, generation === "0" ? "as handed over" : `generation ${generation}`), make("td", { class: "number" }, count(homes)), make("td", {}, bar));
  }));
  $("doubt").replaceChildren(keys.doubt ? `${many(keys.doubt, "home")} in doubt: ` : "No change of keys is in doubt.",
    ...keys.doubtful.map((home) => make("button", { class: "link", onclick: () => choose(home) }, String(home))));
}

// Faults

let kinds = [];
const resolved = (schema) => (schema.anyOf ? { ...schema, ...schema.anyOf.find((each) => each.type !== "null"), optional: true } : schema);

function field(name, raw, required) {
  const schema = resolved(raw), id = `fault-${name}`, given = name === "installation" ? state.home : schema.default ?? "";
  const props = { id, name, required: required && !schema.optional };
  let input;
  const any = schema.optional ? [make("option", { value: "", selected: schema.default === null }, "any")] : [];
  if (schema.enum) input = make("select", props, ...any, ...schema.enum.map((each) => make("option", { value: each, selected: each === schema.default }, each)));
  else if (schema.type === "boolean") input = make("input", { ...props, type: "checkbox", checked: Boolean(schema.default), required: false });
  else if (schema.type === "integer" || schema.type === "number")
    input = make("input", { ...props, type: "number", min: schema.minimum ?? schema.exclusiveMinimum, max: schema.maximum, step: schema.type === "integer" ? 1 : "any", value: given });
  else if (schema.type === "string") input = make("input", { ...props, pattern: schema.pattern, maxLength: schema.maxLength ?? 524288, value: given });
  else input = make("input", { ...props, value: JSON.stringify(schema.default ?? null) });
  input.dataset.type = schema.enum ? "string" : schema.type ?? "json";
  const about = schema.description && schema.description !== name ? schema.description : "";
  const all = schema.optional ? [about, "empty: all of them"] : [about];
  return make("label", {}, name, input, make("small", {}, all.filter(Boolean).join("; ")));
}

function faultForm() {
  const kind = kinds.find((each) => each.fault === $("fault-kind").value);
  if (!kind) return;
  set($("fault-about"), kind.about);
  const required = new Set(kind.settings.required ?? []);
  $("fault-fields").replaceChildren(...Object.entries(kind.settings.properties ?? {}).map(([name, schema]) => field(name, schema, required.has(name))));
}

function settings() {
  const found = {};
  for (const input of $("fault-fields").querySelectorAll("[name]")) {
    const { type } = input.dataset;
    if (type === "boolean") found[input.name] = input.checked;
    else if (input.value !== "")
      found[input.name] = type === "integer" || type === "number" ? Number(input.value) : type === "string" ? input.value : JSON.parse(input.value);
  }
  return found;
}

function drawFaults(faults) {
  chip($("faults-count"), String(faults.length), faults.length ? "bad" : "");
  $("clear-all").hidden = !faults.length;
  const box = $("in-force"), told = JSON.stringify(faults);
  if (box.dataset.told === told) return; // a button that is redrawn loses the focus
  box.dataset.told = told;
  box.replaceChildren(...faults.slice(0, 50).map((fault) => {
    const set = Object.entries(fault.settings).filter(([, value]) => value !== null).map(([name, value]) => `${name} ${value}`).join(", ");
    return make("li", {}, make("div", {}, `${fault.number}. ${fault.fault}`,
      make("small", {}, `${set ? `${set}; ` : ""}struck ${fault.fired} times; since ${instant(fault.since)}, until ${fault.until === null ? "cleared" : instant(fault.until)}`)),
    make("button", { onclick: () => wish(`clear ${fault.fault}`, "/v1/clear-fault", { number: fault.number }), "aria-label": `Clear fault ${fault.number}, ${fault.fault}` }, "Clear"));
  }));
}

// One home

let described = null;

async function choose(home) {
  if (!Number.isInteger(home) || home < 0 || home >= state.total) return tell(`There are homes 0 to ${state.total - 1}.`, "bad");
  state.home = home;
  history.replaceState(null, "", `#home=${home}`);
  openHome();
  look();
}

async function openHome() {
  const home = state.home;
  $("home-number").value = home;
  described = null;
  set($("home-label"), "");
  set($("home-about"), "");
  $("devices").replaceChildren();
  for (const input of document.querySelectorAll("#fault-fields [name=installation]")) input.value = home;
  listen(home);
  try {
    const { installations: [found] } = await get(`/v1/installations?first=${home}&count=1`);
    if (!found || state.home !== home) return;
    described = found;
    set($("home-label"), found.label === String(home) ? "" : found.label);
    set($("home-about"), [found.combination, found.supplier, found.region, `MPAN ${found.mpan}`, found.mprn && `MPRN ${found.mprn}`,
      found.tariff && `tariff ${found.tariff}, ${many(found.switches, "switch", "switches")}`, found.active ? "active" : "dormant",
      found.condition && `condition ${found.condition}`].filter(Boolean).join(" · "));
  } catch (error) {
    if (error instanceof Problem && error.status !== 401) tell(error.message, "bad");
  }
}

const unit = { electricity: "Wh", gas: "dm³" };

function facts(device) {
  const found = {};
  if (device.dark) found.power = "cut";
  if (device.wan) found.WAN = `${device.wan}${device.coverage ? `, ${device.signal_dbm} dBm` : ", out of coverage"}`;
  if (device.supply) found.supply = device.supply;
  if (device.auxiliary?.length) found.auxiliary = device.auxiliary;
  if (device.tariff || device.rate !== null) found.tariff = `${device.tariff ?? "single rate"}${device.rate === null ? "" : `, rate ${device.rate} in force`}`;
  if (device.total !== null) found.register = `${count(device.total)} ${unit[device.kind] ?? ""}${device.power_w === null ? "" : `, ${count(device.power_w)} W now`}`;
  if (device.clock_error_us !== null) found.clock = `${signed(device.clock_error_us)} off`;
  if (device.han) found.HAN = `${device.han}, LQI ${device.lqi}${device.han_error ? `, ${device.han_error}` : ""}`;
  if (device.keys) {
    const { data_generation, data_stage, master_generation, master_stage, epoch, tx, rx, has_master } = device.keys;
    const stage = (name) => (name === "held" ? "" : ` (${name}, in doubt)`);
    found.keys = `data ${data_generation}${stage(data_stage)}, master ${has_master ? master_generation : "none"}${stage(master_stage)}, epoch ${epoch}`;
    found.counters = `sends ${count(tx)}, accepts from ${count(rx)}`;
  }
  if (device.associated !== null) found.associated = device.associated ? "yes" : "no";
  return found;
}

function card(device) {
  const { kind } = device;
  const number = (name, value, most, words) => make("input", { type: "number", name, value, min: 1, max: most, required: true, "aria-label": words });
  const form = (verb, label, ...inputs) => make("form", { class: "row", onsubmit: (event) => {
    event.preventDefault();
    const body = Object.fromEntries([...new FormData(event.target)].map(([name, value]) => [name, Number(value)]));
    wish(`${kind}: ${verb}`, atHome(verb, kind), body);
  } }, make("button", { type: "submit", "data-verb": verb }, label), ...inputs);
  const forms = [];
  if (device.keys) forms.push(make("div", { class: "row" }, make("button", { "data-verb": "rotate-keys", onclick: () => wish(`${kind}: rotate keys`, `${atHome("rotate-keys", kind)}?wait=0`) }, "Rotate keys")));
  if (device.auxiliary?.length) forms.push(form("press-boost", "Boost", number("switch", 1, device.auxiliary.length, "Auxiliary switch"), number("minutes", 60, 1440, "Minutes"), " min"));
  if (device.keys) forms.push(form("power-cut", "Power cut", number("seconds", 60, 31536000, "Seconds"), " s"));
  const shown = make("dl", { class: "facts" }), log = make("ul", { class: "plain" });
  return make("article", { class: "device", id: `device-${kind}`, "aria-label": kind },
    make("h3", {}, kind, make("span", { class: "quiet" }, device.model)), shown,
    device.keys ? make("details", {}, make("summary", {}, "its log"), log) : null, make("div", { class: "acts" }, ...forms));
}

function drawHome(home) {
  if (home.installation !== state.home) return;
  const box = $("devices"), names = home.devices.map((device) => `${device.kind}${device.model}`).join();
  if (box.dataset.names !== names || !box.children.length) {
    box.dataset.names = names;
    box.replaceChildren(...home.devices.map(card));
  }
  home.devices.forEach((device, at) => {
    const shown = box.children[at], list = shown.querySelector(".facts"), found = facts(device);
    shown.classList.toggle("dark", device.dark);
    if (list.dataset.names !== Object.keys(found).join()) {
      list.dataset.names = Object.keys(found).join();
      list.replaceChildren(...Object.keys(found).flatMap((name) => [make("dt", {}, name), make("dd", { "data-fact": name })]));
    }
    for (const [name, value] of Object.entries(found)) {
      const cell = list.querySelector(`[data-fact="${name}"]`);
      if (name === "auxiliary") cell.replaceChildren(...value.map((lamp) => make("span", {
        class: `lamp${lamp.on ? " on" : ""}${lamp.held ? " held" : ""}`, role: "img",
        title: lamp.held ? `held until ${lamp.until ? instant(lamp.until) : "reset"}` : "by the calendar",
        "aria-label": `switch ${lamp.switch} ${lamp.on ? "on" : "off"}${lamp.held ? ", held" : ""}`,
      }, String(lamp.switch))));
      else set(cell, value);
    }
    shown.querySelector("details ul")?.replaceChildren(...device.log.map((entry) => make("li", {}, `${instant(entry.shown)} ${entry.log}: ${entry.meaning} (${entry.code})`)));
  });
  const mine = state.glance?.homes.find((each) => each.installation === home.installation);
  set($("home-verdict"), [mine?.verdict, home.awake ? "awake" : "asleep"].filter(Boolean).join(", "));
}

// The journal, in words

const PARTY = ["head end", "hub", "electricity", "gas", "display"], KEY = { 0: "encryption key", 1: "broadcast key", 2: "authentication key", 3: "master key" };
const MECHANISM = { 0: "without security", 1: "by password", 5: "by HLS-GMAC" }, party = (number) => PARTY[number] ?? number;
const SAP = { 1: "management client", 16: "public client" }, client = (sap) => SAP[sap] ?? `client ${sap}`;
const at = (us) => instant(us);
const WORDS = {
  "audit.astray": (device, old, now) => `the audit found ${party(device)} astray: old keys ${old}, new keys ${now}`,
  "audit.ended": (agrees) => (agrees ? "the audit agrees with the ledger" : "the audit does not agree with the ledger"),
  "audit.master-lost": (device) => `the audit found that ${party(device)} no longer takes keys under its master key`,
  "audit.no-answer": () => "the audit got no answer",
  "auxiliary.held": (number, on, minutes) => `auxiliary switch ${number} held ${on ? "on" : "off"}${minutes ? ` for ${minutes} min` : ""}`,
  "auxiliary.reset": (number) => `auxiliary switch ${number} back to the calendar`,
  "auxiliary.no-such-switch": (number) => `there is no auxiliary switch ${number}`,
  "calendar.activated": (name) => `${name}: the new calendar is active`,
  "clock.set": (old, now) => `clock set from ${at(old)} to ${at(now)}`,
  "device.dark": () => "heard nothing: its power is cut",
  "device.power-cut": (seconds) => `power cut for ${seconds} s`,
  "dlms.associated": (sap, mechanism) => `association with the ${client(sap)} ${MECHANISM[mechanism] ?? `by mechanism ${mechanism}`}`,
  "dlms.association-refused": (sap, why) => `association with the ${client(sap)} refused (diagnostic ${why})`,
  "dlms.authentication-failed": (sap) => `the ${client(sap)} failed to authenticate`,
  "dlms.released": (sap) => `association with the ${client(sap)} released`,
  "dlms.replay": (sap, why) => `a replay refused: ${why}`,
  "dlms.not-opened": (sap, why) => `could not open a ciphered request of the ${client(sap)}: ${why}`,
  "dlms.refused": (sap, st, service, why) => `a request of the ${client(sap)} refused: ${why}`,
  "dlms.action-refused": (id, name, method, result, why) => `method ${method} of class ${id} refused: ${why}`,
  "dlms.write-refused": (id, name, attribute, result, why) => `a write to attribute ${attribute} of class ${id} refused: ${why}`,
  "han.lost": (down) => `a frame ${down ? "to" : "from"} the device was lost in the home network`,
  "headend.alert": (sap, title) => `an alert arrived from logical device ${sap}${title ? ", vouched for by its key" : ", in clear"}`,
  "headend.alert-refused": (why) => `an alert did not open: ${why}`,
  "headend.alert-stranger": () => "an alert from a title that nobody knows",
  "headend.heard": (bytes) => `an alert of ${bytes} bytes arrived`,
  "headend.late": (port, bytes) => `an answer of ${bytes} bytes came too late`,
  "hub.asleep": () => "radio off", "hub.awake": () => "radio up",
  "hub.attaching": (took) => `attaching to the network${typeof took === "number" ? ` (${(took / 1e3).toFixed(1)} s)` : ""}`,
  "hub.dark": () => "heard nothing: its power is cut, or it restarts",
  "hub.new-address": (address) => `came back at ${[24, 16, 8, 0].map((bits) => (address >>> bits) & 255).join(".")}`,
  "hub.object-unavailable": (device) => `refused in the place of the ${party(device)} meter`,
  "hub.overrun": (length) => `dropped a frame of ${length} bytes: no room for it`,
  "hub.reboot": (seconds) => `restarts, for ${seconds} s`,
  "fault.fired": (number, name) => `fault ${number} struck: ${name}`,
  "wire.dead": (number, name) => `a frame was lost to fault ${number}: ${name}`,
  "hub.han-lost": (device, error) => `the ${party(device)} meter cannot be reached in the home network (${error})`,
  "hub.not-attached": () => "a frame came while the radio was not attached",
  "hub.sms-ignored": (why) => `a short message was ignored: ${why}`,
  "hub.sms-counted": (number) => `a short message; ${number} so far`,
  "hub.too-late": (device) => `an answer of the ${party(device)} came after the hub had given up`,
  "keys.installed": (sap, id) => `new ${KEY[id] ?? `key ${id}`} installed for the ${client(sap)}`,
  "keys.refused": (sap, why) => `new keys refused: ${why}`,
  "link.refused": (reason, detail) => `the link refused a packet: ${reason}, ${detail}`,
  "push.sent": (name) => `alert pushed (${name})`,
  "push.nowhere": () => "an alert had no destination",
  "recovery.candidate-live": (device) => `recovered: ${party(device)} holds the new keys`,
  "recovery.candidate-disproven": (device) => `recovered: ${party(device)} holds the old keys`,
  "recovery.mixed": (device) => `recovered: ${party(device)} holds a new encryption key and an old authentication key`,
  "rotation.data-sent": (device, generation) => `data keys of generation ${generation} sent to ${party(device)}`,
  "rotation.master-sent": (device, generation) => `master key of generation ${generation} sent to ${party(device)}`,
  "rotation.confirmed": (device, data, master) => `${party(device)} proven under new keys: data ${data}, master ${master}`,
  "rotation.master-settled": (device) => `${party(device)}: the new master key holds`,
  "rotation.master-disproven": (device) => `${party(device)}: the old master key holds`,
  "rotation.master-unsettled": (device) => `${party(device)}: neither master key is accepted`,
  "script.executed": (name, number) => `${name}: script ${number} executed`,
  "switch.moved": (name, to, cause) => `${name} is ${["off", "on", "armed"][to] ?? to} (${cause})`,
  "takeover.commissioned": (device) => `${party(device)} commissioned`,
  "takeover.ended": (verdict, cause) => `migration ended: ${verdict.toLowerCase()}${cause ? `, ${cause}` : ""}`,
  "takeover.keys-refused": (device, reason) => `${party(device)} refuses the keys handed over: ${reason}`,
  "takeover.refused": (reason, detail) => `migration refused: ${reason} ${detail}`,
  "takeover.tested": (device) => `${party(device)} tested`,
  "takeover.switches-followed": (number) => `${many(number, "auxiliary switch", "auxiliary switches")} seen to follow their times`,
  "takeover.tariff-astray": (wanted) => `tariff is not the recorded ${wanted}`,
  "tariff.changed": () => "tariff changed",
};
const BAD = /refused|lost|replay|astray|not-opened|failed|disproven|unsettled|no-answer|dark|power-cut|bad-|malformed|exhausted|stranger/;

function inWords(entry) {
  try {
    const words = WORDS[entry.kind]?.(...entry.detail);
    if (words) return words;
  } catch { /* of another shape than these words expect: shown as it is */ }
  return entry.detail.length ? `${entry.kind.split(".").pop().replaceAll("-", " ")}: ${entry.detail.map((each) => (typeof each === "object" ? JSON.stringify(each) : each)).join(", ")}`
    : entry.kind.split(".").pop().replaceAll("-", " ");
}

const families = new Set();
let pending = [], drawing = null;

function mark(words) {
  pending.push({ mark: words });
  drawing ??= setTimeout(drawJournal, 60);
}

function note(entry) {
  state.since = entry.number;
  pending.push(entry);
  drawing ??= setTimeout(drawJournal, 60);
}

function drawJournal() {
  drawing = null;
  const box = $("journal"), fresh = pending.splice(0).slice(-SHOWN);
  box.prepend(...fresh.reverse().map((entry) => {
    if (entry.mark) return make("li", { class: "mark-row" }, make("span", { class: "mark" }, entry.mark));
    const family = `${entry.kind.split(".")[0]}.`;
    if (!families.has(family)) {
      families.add(family);
      const after = [...$("kinds").options].find((each) => each.value > family);
      $("kinds").add(make("option", { value: family }, family.slice(0, -1)), after ?? null);
    }
    return make("li", { class: "new", "data-kind": entry.kind, "data-number": entry.number, hidden: !entry.kind.startsWith($("kinds").value) },
      make("time", { title: entry.time }, moment(entry.time).slice(5)), make("span", {}, entry.device),
      make("span", { class: `what${BAD.test(entry.kind) ? " bad" : ""}` }, inWords(entry), " ", make("code", {}, entry.kind)));
  }));
  while (box.children.length > SHOWN) box.lastChild.remove();
}

$("kinds").addEventListener("change", () => {
  for (const row of $("journal").children) if (row.dataset.kind) row.hidden = !row.dataset.kind.startsWith($("kinds").value);
});

// Its stream

let listening = null;

async function listen(home) {
  listening?.abort();
  listening = new AbortController();
  const { signal } = listening;
  pending = [];
  $("journal").replaceChildren();
  state.since = null;
  while (!signal.aborted) {
    try {
      const { journal } = await get("/v1/status");
      if (state.since !== null && journal < state.since) {
        state.since = 0; // its numbers begin anew: another run of the server
        mark("the server was started anew");
      }
      if (state.since === null) await past(home, journal, signal);
      await stream(home, signal);
      chip($("stream"), "stream ended; going on");
    } catch (error) {
      if (signal.aborted || !sessionStorage.getItem(TOKEN)) return;
      if (!(error instanceof TypeError) && !(error instanceof Problem) && error.name !== "AbortError") throw error;
      chip($("stream"), "broken; trying again", "bad");
    }
    await wait(AGAIN_MS, signal);
  }
}

async function past(home, last, signal) {
  const found = await get(`/v1/journal?installation=${home}&limit=${LOOK_BACK}`);
  if (signal.aborted) return;
  for (const entry of found.entries.slice(-SHOWN)) note(entry);
  state.since = found.until;
}

async function stream(home, signal) {
  const answer = await ask("GET", `/v1/journal/events?installation=${home}&since=${state.since}`, undefined, signal);
  chip($("stream"), "live", "good");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { done, value } = await reader.read();
    if (done || signal.aborted) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const each of events) {
      const fields = Object.fromEntries(each.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.event === "entry") note(JSON.parse(fields.data));
      else if (fields.event === "gap") {
        state.since = Number(fields.id);
        mark(`${count(JSON.parse(fields.data).missed)} entries of the estate had fallen out of the journal before they were read`);
      }
    }
  }
}

// Hands

function wire() {
  for (const each of document.querySelectorAll("[data-speed]"))
    each.onclick = () => wish("speed", "/v1/set-speed", { speed: Number(each.dataset.speed) });
  for (const each of document.querySelectorAll("[data-step]"))
    each.onclick = () => wish("step", "/v1/step-clock?wait=0", { seconds: Number(each.dataset.step) });
  for (const each of document.querySelectorAll("[data-home]"))
    each.onclick = () => wish(`home ${state.home}: ${each.dataset.home}`, atHome(each.dataset.home));
  const forms = {
    "gate": () => { sessionStorage.setItem(TOKEN, $("gate-token").value.trim()); $("gate-token").value = ""; open(); },
    "speed-form": () => wish("speed", "/v1/set-speed", { speed: Number($("speed-own").value) }),
    "step-form": () => wish("step", "/v1/step-clock?wait=0", { seconds: Number($("step-own").value) }),
    "link-form": () => wish("fail link", "/v1/fail-link", { seconds: Number($("link-seconds").value) }),
    "fault-form": inject,
  };
  for (const [id, send] of Object.entries(forms)) $(id).addEventListener("submit", (event) => { event.preventDefault(); send(); });
  $("link-heal").onclick = () => wish("heal link", "/v1/heal-link");
  $("clear-all").onclick = () => wish("clear all faults", "/v1/clear-faults");
  $("migrate").onclick = () => wish("migrate the estate", "/v1/migrate");
  $("migrate-home").onclick = () => wish(`migrate home ${state.home}`, "/v1/migrate", { installations: [state.home] });
  $("migrate-cancel").onclick = () => wish("give the migration up", "/v1/cancel-task", { task: state.course.task });
  $("fault-kind").onchange = faultForm;
  $("home-back").onclick = () => choose(state.home - 1);
  $("home-on").onclick = () => choose(state.home + 1);
  $("home-number").onchange = () => choose(Number($("home-number").value));
  for (const each of document.querySelectorAll("[name=by]"))
    each.onchange = () => { state.by = each.value; if (state.course) drawCourse(state.course); };
  document.addEventListener("visibilitychange", () => look());
  window.addEventListener("hashchange", () => { const before = state.home; fragment(); if (state.home !== before || $("page").hidden) open(); });
}

function inject() {
  const fault = $("fault-kind").value;
  let given;
  try { given = settings(); } catch { return tell("inject: a field is no JSON", "bad"); }
  return wish(`inject ${fault}`, "/v1/inject-fault", { fault, settings: given });
}

async function open() {
  if (!sessionStorage.getItem(TOKEN)) return shut();
  $("gate").hidden = true;
  $("page").hidden = false;
  try {
    kinds = (await get("/v1/fault-kinds")).faults;
  } catch (error) {
    if (!sessionStorage.getItem(TOKEN)) return;
    chip($("wire"), "no connection; trying again", "bad");
    await wait(AGAIN_MS);
    return open();
  }
  $("fault-kind").replaceChildren(...kinds.map((each) => make("option", { value: each.fault }, each.fault)));
  faultForm();
  openHome();
  look();
}

wire();
fragment();
open();
