import type { FastifyInstance } from 'fastify'
import { AppError } from '../errors.ts'

const formType = 'application/x-www-form-urlencoded'

/** Whether the request was sent by a plain HTML form. */
export const isForm = (contentType: string | undefined): boolean =>
  contentType?.split(';')[0]?.trim().toLowerCase() === formType

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new AppError('invalid_body')
  }
}

const parseForm = (text: string): Record<string, string> => {
  // A null prototype: `__proto__` in a form is a field like any other.
  const fields: Record<string, string> = Object.create(null)
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const [name = '', ...value] = pair.split('=')
    const key = decode(name)
    // Two values of one field: which of them was checked and which one counts must never be a question.
    if (key in fields) throw new AppError('invalid_body')
    fields[key] = decode(value.join('='))
  }
  return fields
}

/**
 * Lets the routes of this scope take HTML forms beside JSON. Fields are UTF-8; a broken escape, bytes that are no UTF-8
 * and a repeated field are refused `invalid_body`.
 */
export const installFormParser = (scope: FastifyInstance): void => {
  scope.addContentTypeParser(formType, { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseForm(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(body))))
    } catch (error) {
      done(error instanceof AppError ? error : new AppError('invalid_body'))
    }
  })
}
