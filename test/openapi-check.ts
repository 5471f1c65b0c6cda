import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import type { HttpServer } from '../src/platform/http/server.ts'

type Document = {
  paths: Record<
    string,
    Record<string, { responses?: Record<string, { content?: Record<string, { schema?: object }> }> }>
  >
}

const toDocumentPath = (route: string): string => route.replaceAll(/:([^/]+)/g, '{$1}')

/**
 * Checks every JSON answer of a server against its own OpenAPI document: the status must be described, and the body must
 * match without keys that the document does not know. Mismatches are collected, not thrown into the request.
 */
export const checkAnswers = (server: HttpServer): { problems: string[]; count: () => number } => {
  const problems: string[] = []
  const ajv = new Ajv2020({ strict: false, allErrors: false })
  const validators = new Map<string, ValidateFunction>()
  let checked = 0

  const strict = (schema: unknown): unknown => {
    if (Array.isArray(schema)) return schema.map(strict)
    if (typeof schema !== 'object' || schema === null) return schema
    const entries = Object.entries(schema).map(([key, value]) => [key, strict(value)] as const)
    const copy: Record<string, unknown> = Object.fromEntries(entries)
    if (copy['type'] === 'object' && copy['properties'] && copy['additionalProperties'] === undefined)
      copy['additionalProperties'] = false
    return copy
  }

  server.addHook('onSend', (request, reply, payload, done) => {
    const route = request.routeOptions.url
    const type = String(reply.getHeader('content-type') ?? '')
    const isHidden = request.routeOptions.schema === undefined || 'hide' in request.routeOptions.schema
    if (route === undefined || request.method === 'HEAD' || isHidden || !type.startsWith('application/json'))
      return done(null, payload)
    const document = server.swagger() as unknown as Document
    const where = `${request.method} ${route} ${reply.statusCode}`
    const responses = document.paths[toDocumentPath(route)]?.[request.method.toLowerCase()]?.responses ?? {}
    const family = `${Math.floor(reply.statusCode / 100)}XX`
    const schema = (responses[String(reply.statusCode)] ?? responses[family])?.content?.['application/json']
      ?.schema
    checked += 1
    if (!schema) {
      problems.push(`${where}: not in the document`)
      return done(null, payload)
    }
    const validate = validators.get(where) ?? ajv.compile(strict(schema) as object)
    validators.set(where, validate)
    if (!validate(JSON.parse(String(payload)))) problems.push(`${where}: ${ajv.errorsText(validate.errors)}`)
    return done(null, payload)
  })
  return { problems, count: () => checked }
}
