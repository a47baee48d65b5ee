/** Which flags of the process its threads get too: those that decide how a module is found, loaded and traced. */

/** Their value is behind "=", or is the next argument. */
const withValue = new Set(['--import', '--require', '-r', '--conditions', '-C', '--loader', '--experimental-loader'])
/** With or without `no-` in their name. Others are of the process alone, or must not begin twice (`--inspect`). */
const alone = new Set([
  '--enable-source-maps',
  '--experimental-addon-modules',
  '--experimental-detect-module',
  '--experimental-import-meta-resolve',
  '--experimental-require-module',
  '--experimental-strip-types',
  '--experimental-transform-types',
  '--experimental-vm-modules',
  '--experimental-wasm-modules',
  '--preserve-symlinks',
  '--strip-types',
])

export function threadFlags(processFlags: readonly string[]): string[] {
  const flags: string[] = []
  for (const [index, flag] of processFlags.entries()) {
    const name = flag.split('=', 1)[0] ?? ''
    if (alone.has(flag.replace('--no-', '--')) || (withValue.has(name) && name !== flag)) flags.push(flag)
    else if (withValue.has(flag)) flags.push(flag, ...processFlags.slice(index + 1, index + 2))
  }
  return flags
}
