"use strict";
// Shows /openapi.json. All texts become text nodes, never markup.
const el = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) key in node ? (node[key] = value) : node.setAttribute(key, value);
  node.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
  return node;
};
const VERBS = ["get", "post", "put", "patch", "delete"];
let doc, token = sessionStorage.getItem("souk.token") || "";

// Of Markdown, the contracts use only `code`, **bold** and lists.
const prose = text => text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map(part =>
  part.startsWith("`") ? el("code", {}, part.slice(1, -1)) : part.startsWith("**") ? el("b", {}, part.slice(2, -2)) : part);
const blocks = text => text.trim().split(/\n\n/).map(block => block.startsWith("* ")
  ? el("ul", {}, block.split(/\n?^\* /m).filter(Boolean).map(line => el("li", {}, prose(line))))
  : el("p", {}, prose(block)));

const resolve = node => node.$ref ? resolve(node.$ref.split("/").slice(1).reduce((place, step) => place[step], doc)) : node;
const nameOf = schema => schema.$ref ? schema.$ref.split("/").pop() : null;

function typeOf(schema) {
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.$ref) { const to = resolve(schema); return to.enum ? to.enum.map(v => JSON.stringify(v)).join(" · ") : nameOf(schema); }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map(v => JSON.stringify(v)).join(" · ");
  if (schema.type === "array") return `list of ${typeOf(schema.items || {})}`;
  const limits = [["minimum", "≥"], ["maximum", "≤"], ["minLength", "length ≥"], ["maxLength", "length ≤"]]
    .filter(([key]) => schema[key] !== undefined).map(([key, sign]) => `${sign} ${schema[key]}`);
  return [schema.format || schema.type || "anything", ...limits].join(", ");
}

const nested = schema => {
  for (const one of [schema, ...(schema.anyOf || [])]) {
    const inner = one.type === "array" ? one.items || {} : one;
    const found = resolve(inner);
    if (found.properties) return found;
  }
  return null;
};

function fields(schema, depth = 0) {
  const required = new Set(schema.required || []);
  return el("ul", { className: "fields" }, Object.entries(schema.properties || {}).map(([name, field]) => {
    const text = field.description || (field.$ref ? resolve(field).description : "") || "";
    const line = [el("code", {}, name), required.has(name) ? el("span", { className: "must", title: "required" }, " *") : null,
      el("span", { className: "type" }, " " + typeOf(field)), text ? el("span", { className: "quiet" }, " ", prose(text.split("\n")[0])) : null];
    const inner = depth < 4 && nested(field);
    if (!inner) return el("li", {}, line);
    const details = el("details", {}, el("summary", {}, line));
    details.addEventListener("toggle", () => details.children.length < 2 && details.append(fields(inner, depth + 1)), { once: true });
    return el("li", {}, details);
  }));
}

const shape = schema => { const found = nested(schema); return found ? fields(found) : el("p", { className: "type" }, typeOf(schema)); };
const path = text => el("span", { className: "path" }, text.split(/(\{\w+\})/).map(part => part.startsWith("{") ? el("b", {}, part) : part));

function parameters(list) {
  return list.length ? [el("h3", {}, "Parameters"), el("table", {}, list.map(resolve).map(one => el("tr", {},
    el("td", {}, el("code", {}, one.name), one.required ? el("span", { className: "must" }, " *") : null),
    el("td", {}, el("span", { className: "type" }, `${one.in}, ${typeOf(one.schema)} `), prose(one.description || "")))))] : [];
}

const exampleOf = media => {
  const example = media.example ?? (media.examples && resolve(Object.values(media.examples)[0]).value);
  return example === undefined ? null : el("pre", {}, typeof example === "string" ? example : JSON.stringify(example, null, 2));
};

function responseTable(responses) {
  return [el("h3", {}, "Responses"), el("table", {}, Object.entries(responses).map(([status, response]) => {
    const { content, description } = resolve(response);
    const json = content && content["application/json"];
    const isSuccess = status < "400";
    const details = isSuccess ? [prose(description), json ? [shape(json.schema), exampleOf(json)] : null]
      : el("ul", { className: "codes" }, description.split("\n").map(line => el("li", {}, prose(line.replace(/^\* /, "")))));
    return el("tr", {}, el("td", {}, el("b", { className: isSuccess ? "get" : "delete" }, status)), el("td", {}, details));
  }))];
}

function tryIt(method, route, operation) {
  const inputs = operation.parameters.map(resolve).map(one => [one, el("input", { name: one.name, placeholder: one.required ? "required" : "" })]);
  const media = operation.requestBody && operation.requestBody.content["application/json"];
  const body = media && el("textarea", { value: JSON.stringify(media.example || {}, null, 2), spellcheck: false });
  const bearer = el("input", { type: "password", value: token, placeholder: "access token", autocomplete: "off" });
  const out = el("pre", { hidden: true });
  const send = async event => {
    event.preventDefault();
    token = bearer.value.trim(); sessionStorage.setItem("souk.token", token);
    let url = route; const query = new URLSearchParams(), headers = {};
    for (const [one, input] of inputs) {
      if (one.in === "path") url = url.replace(`{${one.name}}`, encodeURIComponent(input.value));
      else if (input.value) one.in === "query" ? query.set(one.name, input.value) : (headers[one.name] = input.value);
    }
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    const started = performance.now();
    const response = await fetch(url + (query.size ? `?${query}` : ""), { method: method.toUpperCase(), headers, body: body ? body.value : undefined });
    const text = await response.text();
    let shown = text; try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown unchanged */ }
    out.hidden = false;
    out.textContent = `${response.status} ${response.statusText} · ${Math.round(performance.now() - started)} ms · ${response.headers.get("X-Request-Id") || ""}\n\n${shown.slice(0, 20000)}`;
    try { const session = JSON.parse(text); if (session.access_token) { token = session.access_token; sessionStorage.setItem("souk.token", token); } } catch { /* not a session */ }
  };
  return [el("h3", {}, "Try it"), el("form", { onsubmit: event => send(event).catch(error => { out.hidden = false; out.textContent = String(error); }) },
    inputs.map(([one, input]) => el("label", {}, el("code", {}, one.name), input)),
    el("label", {}, el("code", {}, "Authorization"), bearer), body, el("button", {}, "Send")), out];
}

function operationDetails(method, route, operation) {
  const media = operation.requestBody && Object.entries(operation.requestBody.content)[0];
  return el("div", { className: "inside" }, operation.description ? el("p", { className: "quiet" }, prose(operation.description)) : null,
    parameters(operation.parameters), media ? [el("h3", {}, `Body, ${media[0]}`), shape(media[1].schema),
      exampleOf(media[1])] : [],
    responseTable(operation.responses), tryIt(method, route, operation));
}

function operationSection(method, route, operation) {
  const isOpen = operation.security.some(one => !Object.keys(one).length);
  const who = operation.description.startsWith("For administrators") ? "administrators" : isOpen ? "" : "signed in";
  const details = el("details", { className: "operation", id: operation.operationId },
    el("summary", {}, el("span", { className: `verb ${method}` }, method.toUpperCase()), path(route), el("span", {}, operation.summary), el("span", { className: "who" }, who)));
  details.addEventListener("toggle", () => details.children.length < 2 && details.append(operationDetails(method, route, operation)));
  return details;
}

function draw() {
  const operations = Object.entries(doc.paths).flatMap(([route, item]) => VERBS.filter(verb => item[verb])
    .map(verb => ({ verb, route, operation: { parameters: [], security: [{}], ...item[verb] } })));
  const menu = document.getElementById("menu"), main = document.querySelector("main");
  main.replaceChildren(el("h1", {}, doc.info.title), el("p", { className: "quiet" }, `${doc.info.summary} `, el("a", { href: "/openapi.json" }, "OpenAPI 3.1"), " · ", el("a", { href: "/asyncapi.json" }, "AsyncAPI 3")), ...blocks(doc.info.description));
  for (const tag of doc.tags) {
    const tagged = operations.filter(one => one.operation.tags.includes(tag.name));
    if (!tagged.length) continue;
    menu.append(el("h2", {}, tag.name), ...tagged.map(one => el("a", { className: "op", href: `#${one.operation.operationId}`, onclick: () => show(one.operation.operationId) },
      el("span", { className: `verb ${one.verb}` }, one.verb.toUpperCase()), el("span", {}, one.operation.summary))));
    main.append(el("section", {}, el("h2", {}, tag.name), el("p", { className: "quiet" }, tag.description), tagged.map(one => operationSection(one.verb, one.route, one.operation))));
  }
  if (location.hash) show(location.hash.slice(1));
}

const show = id => { const found = document.getElementById(id); if (found && "open" in found) { found.open = true; found.scrollIntoView(); } };
const find = document.getElementById("find");
find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = node => words.every(word => node.textContent.toLowerCase().includes(word));
  for (const node of document.querySelectorAll("nav a.op")) node.hidden = !fits(node);
  for (const node of document.querySelectorAll("details.operation")) node.hidden = !fits(node.firstChild);
});
document.addEventListener("keydown", event => { if (event.key === "/" && !/INPUT|TEXTAREA/.test(event.target.tagName)) { event.preventDefault(); find.focus(); } });
addEventListener("hashchange", () => show(location.hash.slice(1)));
fetch("/openapi.json").then(response => response.json()).then(found => { doc = found; draw(); })
  .catch(error => document.querySelector("main").replaceChildren(el("p", {}, `The documentation could not be read: ${error}`)));
