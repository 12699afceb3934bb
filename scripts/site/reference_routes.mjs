// Generates the page of the HTTP API from the OpenAPI document.

import { readFileSync } from 'node:fs';

import { at } from '../project.mjs';
import { code, generatedBy, table } from './reference_markdown.mjs';

const introduction = `# HTTP API

This page is for authors of clients. It lists every route with its parameters and responses, from the OpenAPI document that each server
returns at \`/openapi.json\`. [Compatibility](../COMPATIBILITY.md) compares the routes with InfluxDB 1.x and 3, [errors](errors.md) lists
the error texts, and [Security](../SECURITY.md#how-a-token-is-sent) describes the credentials.
`;

/** The titles of the groups, by OpenAPI tag, in the page's order. */
const groups = { Write: 'Writes', Query: 'Queries', Databases: 'Databases', Tokens: 'Tokens', v2: 'Routes of InfluxDB 2', Service: 'Service' };

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

function typeOf(document, schema = {}) {
  if (schema.enum) return schema.enum.map((value) => code(String(value))).join(', ');
  const type = [schema.type].flat().join(' or ');
  if (schema.type === 'array') return `list of ${typeOf(document, resolved(document, schema.items))}`;
  return schema.format ? `${type} (${schema.format})` : type;
}

function resolved(document, part) {
  if (!part?.$ref) return part;
  return part.$ref.slice(2).split('/').reduce((inner, key) => inner[key], document);
}

function bodyRows(document, content) {
  return Object.entries(content).flatMap(([type, { schema: given }]) => {
    const schema = resolved(document, given) ?? {};
    const properties = Object.entries(schema.properties ?? {});
    return properties.map(([name, inner]) => {
      const one = resolved(document, inner);
      const isRequired = schema.required?.includes(name);
      return [code(name), type, typeOf(document, one), `${isRequired ? 'required. ' : ''}${one.description ?? ''}`];
    });
  });
}

function operation(document, path, method, { summary, description, parameters = [], requestBody, responses }) {
  const parts = [`### ${method.toUpperCase()} ${path}\n`, `${sentence(summary)}${description ? ` ${sentence(description)}` : ''}\n`];
  const given = parameters.map((one) => resolved(document, one));
  if (given.length > 0) {
    const rows = given.map(({ name, in: place, schema, description: text = '', required }) =>
      [code(name), place, typeOf(document, schema), `${required ? 'required. ' : ''}${text}`]);
    parts.push(table(['parameter', 'in', 'type', 'description'], rows));
  }
  if (requestBody) {
    const { content, description: text } = resolved(document, requestBody);
    const types = Object.keys(content).map(code).join(', ');
    parts.push(`Body: ${types}. ${text ? sentence(text) : ''}`.trim(), '');
    const rows = bodyRows(document, content);
    if (rows.length > 0) parts.push(table(['key', 'in', 'type', 'description'], rows));
  }
  const rows = Object.entries(responses).map(([status, one]) => {
    const { description: text, content = {}, headers = {} } = resolved(document, one);
    const types = Object.keys(content).map(code).join(', ');
    return [status, sentence(text), types, Object.keys(headers).map(code).join(', ')];
  });
  parts.push(table(['status', 'meaning', 'body', 'headers'], rows));
  return parts.join('\n');
}

export function routesPage() {
  const document = JSON.parse(readFileSync(at('www', 'openapi.json'), 'utf8'));
  const operations = Object.entries(document.paths).flatMap(([path, { parameters = [], ...methods }]) =>
    Object.entries(methods).map(([method, one]) =>
      ({ path, method, one: { ...one, parameters: [...parameters, ...(one.parameters ?? [])] } })));
  const sections = Object.entries(groups).map(([tag, title]) => {
    const inside = operations.filter(({ one }) => one.tags[0] === tag);
    return [`## ${title}\n`, ...inside.map(({ path, method, one }) => operation(document, path, method, one))].join('\n');
  });
  const missing = operations.filter(({ one }) => !(one.tags[0] in groups));
  if (missing.length > 0) throw new Error(`no group for ${missing[0].path}`);
  return [generatedBy('the OpenAPI document'), introduction, ...sections].join('\n');
}
