#!/usr/bin/env node
/** The program. An older Node could not load the rest, so this says which one is needed before anything else is loaded. */
import { nodeIsTooOld, useCompileCache } from './runtime/package.ts'

// Read by libuv at its first use. Native calls of tasks that do not return hold one thread each: four, its own default,
// would soon be taken.
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
