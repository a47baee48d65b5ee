#!/usr/bin/env node
/** The program. It checks the version of Node before it loads the rest, which an older Node could not load. */
import { nodeIsTooOld, useCompileCache } from './runtime/package.ts'

// libuv reads it at its first use. A native call of a task that does not return holds one of these threads, and its default
// of four threads would soon be taken.
process.env['UV_THREADPOOL_SIZE'] ??= '8'

const refusal = nodeIsTooOld(process.versions.node)
if (refusal === null) {
  useCompileCache()
  const { serve } = await import('./process/serve.ts')
  await serve(process.env)
} else {
  const { createLog } = await import('./log.ts')
  createLog('info').fatal(refusal)
  process.exitCode = 1
}
