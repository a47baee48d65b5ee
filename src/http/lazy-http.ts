/**
 * What is required rather than imported: the first import of `node:http`, by whomever, has Node load all of `fetch` with
 * it, for names that it has on offer there (24.21; 40 ms of the start). See also `sendJson`.
 */
import type * as KoaRouter from '@koa/router'
import { createRequire } from 'node:module'
import type * as Http from 'node:http'

const require = createRequire(import.meta.url)

export const { createServer, request, STATUS_CODES } = require('node:http') as typeof Http

export function createRouter(): KoaRouter.Router {
  const { Router } = require('@koa/router') as typeof KoaRouter
  return new Router()
}
