// Builds the live page with Vite, and compresses its files once here, so that the service only has to send them.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

export async function buildPage(source, output) {
  // Loaded here, because a build with nothing to do does not need it.
  const { build } = await import('vite')
  await build({
    root: source,
    // Without a configuration file, which Vite would load through a second build.
    configFile: false,
    // Relative, so that the page works wherever the service is mounted.
    base: './',
    logLevel: 'warn',
    resolve: { alias: { 'forerunner/client': join(source, '../src/client/client.ts') } },
    build: {
      outDir: output,
      emptyOutDir: true,
      target: 'es2023',
      // The Content-Security-Policy allows nothing inline.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  })
  for (const entry of readdirSync(output, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) compress(join(entry.parentPath, entry.name))
  }
}

function compress(file) {
  const bytes = readFileSync(file)
  const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY }
  writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params: quality }))
  writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }))
}
