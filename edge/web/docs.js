"use strict";
// Shows /openapi.json. All texts become text nodes, never markup.
const el = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) key in node ? (node[key] = value) : node.setAttribute(key, value);
  node.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
  return node;
};
const VERBS = ["get", "post", "put", "patch", "delete"];
let doc;

// The credentials that every "Try it" sends. They stay in this tab.
const credentials = { token: document.getElementById("token"), order: document.getElementById("order-access") };
const credentialsChanged = () => {
  for (const [name, input] of Object.entries(credentials)) sessionStorage.setItem(`souk.${name}`, input.value.trim());
  document.getElementById("signed-in").textContent = Object.values(credentials).some(input => input.value) ? "· filled in" : "";
};
for (const [name, input] of Object.entries(credentials)) {
  input.value = sessionStorage.getItem(`souk.${name}`) || "";
  input.addEventListener("input", credentialsChanged);
}
document.getElementById("forget").addEventListener("click", () => {
  for (const input of Object.values(credentials)) input.value = "";
  credentialsChanged();
});
credentialsChanged();
const keepCredentials = answer => {
  if (!answer || !answer.access_token) return;
  credentials[answer.token_type ? "token" : "order"].value = answer.access_token;
  credentialsChanged();
};

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

// The inputs of a body, and a function that returns what they say.
function bodyInputs(content) {
  const [type, media] = Object.entries(content)[0];
  if (type === "application/json") {
    const text = el("textarea", { value: JSON.stringify(media.example || {}, null, 2), spellcheck: false, ariaLabel: "Request body" });
    return [[text], () => ({ type, body: text.value })];
  }
  if (type === "multipart/form-data") {
    const shown = Object.entries(resolve(media.schema).properties).map(([name, field]) =>
      [name, el("input", { name, type: field.format === "binary" || field.contentMediaType ? "file" : "text" })]);
    const read = () => {
      const form = new FormData();
      for (const [name, input] of shown) {
        if (input.type === "file" ? input.files.length : input.value) form.set(name, input.type === "file" ? input.files[0] : input.value);
      }
      return { body: form };
    };
    return [shown.map(([name, input]) => el("label", {}, el("code", {}, name), input)), read];
  }
  const file = el("input", { type: "file", accept: type });
  const text = el("textarea", { value: media.example || "", spellcheck: false, ariaLabel: "Request body" });
  file.addEventListener("change", async () => { if (file.files.length) text.value = await file.files[0].text(); });
  return [[el("label", {}, el("code", {}, "file"), file), text], () => ({ type, body: file.files[0] || text.value })];
}

function tryIt(method, route, operation) {
  const asked = operation.parameters.map(resolve).filter(one => one.name !== "Order-Access");
  const inputs = asked.map(one => [one, el("input", { name: one.name, placeholder: one.required ? "required" : "" })]);
  const [bodyFields, readBody] = operation.requestBody ? bodyInputs(operation.requestBody.content) : [[], () => ({})];
  const out = el("pre", { hidden: true, tabIndex: 0, ariaLabel: "Response" });
  const say = text => { out.hidden = false; out.textContent = text; };
  const send = async event => {
    event.preventDefault();
    let url = route;
    const query = new URLSearchParams(), headers = {};
    for (const [one, input] of inputs) {
      if (one.in === "path") url = url.replace(`{${one.name}}`, encodeURIComponent(input.value));
      else if (input.value) one.in === "query" ? query.set(one.name, input.value) : (headers[one.name] = input.value);
    }
    const { type, body } = readBody();
    if (type) headers["Content-Type"] = type;
    if (credentials.token.value) headers.Authorization = `Bearer ${credentials.token.value.trim()}`;
    if (credentials.order.value) headers["Order-Access"] = credentials.order.value.trim();
    const started = performance.now();
    const response = await fetch(url + (query.size ? `?${query}` : ""), { method: method.toUpperCase(), headers, body });
    const text = await response.text();
    let answer = null;
    try { answer = JSON.parse(text); } catch { /* not JSON: shown unchanged */ }
    const shown = answer === null ? text : JSON.stringify(answer, null, 2);
    say(`${response.status} ${response.statusText} · ${Math.round(performance.now() - started)} ms · ${response.headers.get("X-Request-Id") || ""}\n\n${shown.slice(0, 20000)}`);
    keepCredentials(answer);
  };
  return [el("h3", {}, "Try it"), el("form", { onsubmit: event => send(event).catch(error => say(String(error))) },
    inputs.map(([one, input]) => el("label", {}, el("code", {}, one.name), input)),
    bodyFields, el("button", {}, "Send")), out];
}

function operationDetails(method, route, operation) {
  const media = operation.requestBody && Object.entries(operation.requestBody.content)[0];
  return el("div", { className: "inside" }, operation.description ? el("p", { className: "quiet" }, prose(operation.description)) : null,
    parameters(operation.parameters), media ? [el("h3", {}, `Body, ${media[0]}`), shape(media[1].schema),
      exampleOf(media[1])] : [],
    responseTable(operation.responses), tryIt(method, route, operation));
}

// What an operation is found by, in the menu and in the page alike.
const wordsOf = (method, route, operation) => [method, route, operation.summary, ...operation.tags].join(" ").toLowerCase();

function operationSection(method, route, operation) {
  const isOpen = operation.security.some(one => !Object.keys(one).length);
  const who = operation.description.startsWith("For administrators") ? "administrators" : isOpen ? "" : "signed in";
  const details = el("details", { className: "operation", id: operation.operationId, "data-words": wordsOf(method, route, operation) },
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
    menu.append(el("section", {}, el("h2", {}, tag.name), tagged.map(one => el("a", { className: "op", href: `#${one.operation.operationId}`, "data-words": wordsOf(one.verb, one.route, one.operation), onclick: () => show(one.operation.operationId) },
      el("span", { className: `verb ${one.verb}` }, one.verb.toUpperCase()), el("span", {}, one.operation.summary)))));
    main.append(el("section", {}, el("h2", {}, tag.name), el("p", { className: "quiet" }, tag.description), tagged.map(one => operationSection(one.verb, one.route, one.operation))));
  }
  if (matchMedia("(max-width: 60rem)").matches) document.getElementById("contents").open = false;
  if (location.hash) show(location.hash.slice(1));
}

const show = id => { const found = document.getElementById(id); if (found && "open" in found) { found.open = true; found.scrollIntoView(); } };
const find = document.getElementById("find");
find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = node => words.every(word => node.dataset.words.includes(word));
  const nodes = [...document.querySelectorAll("[data-words]")];
  for (const node of nodes) node.hidden = !fits(node);
  for (const group of document.querySelectorAll("#menu section, main > section")) group.hidden = !nodes.some(node => !node.hidden && group.contains(node));
  document.getElementById("no-hits").hidden = nodes.some(node => !node.hidden);
  if (words.length) document.getElementById("contents").open = true;
});
document.addEventListener("keydown", event => { if (event.key === "/" && !/INPUT|TEXTAREA/.test(event.target.tagName)) { event.preventDefault(); find.focus(); } });
addEventListener("hashchange", () => show(location.hash.slice(1)));
fetch("/openapi.json").then(response => response.json()).then(found => { doc = found; draw(); })
  .catch(error => document.querySelector("main").replaceChildren(el("p", {}, `The documentation could not be read: ${error}`)));
