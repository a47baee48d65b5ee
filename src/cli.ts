#!/usr/bin/env node
/** The `forerunner` command. It checks the version of Node before it loads anything else, which an older Node could not load. */
import { nodeIsTooOld, useCompileCache } from './runtime/package.ts'

// libuv reads it once, at its first use; see main.ts.
process.env['UV_THREADPOOL_SIZE'] ??= '8'

const refusal = nodeIsTooOld(process.versions.node)
if (refusal === null) {
  useCompileCache()
  const { runCommand } = await import('./cli/program.ts')
  process.exitCode = await runCommand(process.argv.slice(2), process.env)
} else {
  console.error(refusal)
  process.exitCode = 1
}
