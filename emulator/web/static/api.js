"use strict";
// Shows /openapi.json and lets one try it. Everything comes from this server; texts are set as text, never as markup.

const make = (name, text, kind) => {
  const found = document.createElement(name);
  if (text !== undefined) found.textContent = text;
  if (kind) found.className = kind;
  return found;
};

let description = null;
const resolve = (schema) => schema && schema.$ref ? description.components.schemas[schema.$ref.split("/").pop()] : schema || {};

const words = (schema) => {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(words).join(" or ");
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(", ");
  let found = schema.type || "anything";
  if (schema.items) found += " of " + words(schema.items);
  const low = schema.minimum ?? schema.exclusiveMinimum;
  if (low !== undefined || schema.maximum !== undefined) found += ` ${low ?? ""}..${schema.maximum ?? ""}`;
  return schema.description ? `${found} (${schema.description})` : found;
};

const fields = (schema) => {
  const table = make("table");
  for (const [name, each] of Object.entries(schema.properties || {})) {
    const row = table.insertRow();
    row.insertCell().append(make("code", name));
    row.insertCell().textContent = words(each);
    row.insertCell().textContent = (schema.required || []).includes(name) ? "required"
      : each.default === undefined ? "" : `default ${JSON.stringify(each.default)}`;
  }
  return table;
};

const attempt = async (method, path, inputs, body, shown) => {
  let where = path;
  const query = new URLSearchParams();
  for (const { name, place, input } of inputs) {
    if (place === "path") where = where.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (place === "query" && input.value !== "") query.set(name, input.value);
  }
  if ([...query].length) where += "?" + query;
  const options = { method: method.toUpperCase(), headers: {} };
  const token = document.getElementById("token").value.trim();
  if (token) options.headers.Authorization = "Bearer " + token;
  if (body) { options.headers["Content-Type"] = "application/json"; options.body = body.value; }
  try {
    const answer = await fetch(where, options);
    const text = await answer.text();
    let told = text;
    try { told = JSON.stringify(JSON.parse(text), null, 2); } catch { /* no JSON: as it came */ }
    shown.textContent = `${answer.status} ${where}\n${told}`;
  } catch (error) {
    shown.textContent = String(error);
  }
};

const route = (path, method, operation) => {
  const found = make("details");
  const head = make("summary");
  head.append(make("span", method.toUpperCase(), "method " + method), make("code", path), " ", make("span", operation.summary || ""));
  found.append(head, make("p", operation.description || ""));
  const inputs = [];
  const table = make("table");
  for (const each of operation.parameters || []) {
    if (each.in === "header") continue;
    const row = table.insertRow();
    const input = make("input");
    input.value = each.schema.default ?? "";
    row.insertCell().append(make("code", each.name));
    row.insertCell().append(input);
    row.insertCell().textContent = words(each.schema);
    inputs.push({ name: each.name, place: each.in, input });
  }
  if (inputs.length) found.append(table);
  let body = null;
  if (operation.requestBody) {
    const schema = resolve(operation.requestBody.content["application/json"].schema);
    found.append(fields(schema));
    body = make("textarea");
    body.rows = 3;
    body.value = "{}";
    found.append(body);
  }
  if (!path.endsWith("/events")) {
    const button = make("button", "Ask");
    const shown = make("pre", "");
    button.onclick = () => attempt(method, path, inputs, body, shown);
    found.append(button, shown);
  }
  return found;
};

(async () => {
  description = await (await fetch("/openapi.json")).json();
  document.getElementById("title").textContent = `${description.info.title} ${description.info.version}`;
  document.getElementById("about").textContent = description.info.description;
  const groups = {};
  for (const [path, methods] of Object.entries(description.paths))
    for (const [method, operation] of Object.entries(methods))
      (groups[operation.tags[0]] ||= []).push(route(path, method, operation));
  const main = document.getElementById("routes");
  for (const [name, each] of Object.entries(groups)) main.append(make("h2", name), ...each);
})();
