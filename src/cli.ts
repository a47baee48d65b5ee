#!/usr/bin/env node
/** The command. An older Node could not load the rest, so this says which one is needed before anything else is loaded. */
import { nodeIsTooOld, useCompileCache } from './runtime/package.ts'

// Read by libuv at its first use; see main.ts.
process.env['UV_THREADPOOL_SIZE'] ??= '8'

const refusal = nodeIsTooOld(process.versions.node)
if (refusal === null) {
  useCompileCache()
  const { runCommand } = await import('./cli/program.ts')
  process.exitCode = await runCommand(process.argv.slice(2), process.env)
} else {
  // As text: a command is typed by a person.
  console.error(refusal)
  process.exitCode = 1
}
