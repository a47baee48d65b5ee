/** Answers with a value as JSON. */
import type { Context } from 'koa'
import { writeJson } from './write-json.ts'

/**
 * As text, not as the value: Koa asks of an object whether it is a Response, for which Node has to load all of `fetch`
 * while the first caller waits (measured: 40 ms and more).
 */
export function sendJson(ctx: Context, value: unknown): void {
  sendText(ctx, writeJson(value))
}

export function sendText(ctx: Context, json: string): void {
  ctx.set('Content-Type', 'application/json; charset=utf-8')
  ctx.body = json
}
