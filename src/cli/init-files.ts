/** The files of a new project. */

export const taskModule = `import { defineTask } from 'forerunner'

/** Of its input nothing is known here; give it a schema of zod, valibot or arktype as \`input\` to have it checked. */
export default defineTask({
  timeoutMs: 30_000,
  maxAttempts: 3,
  async run(input, { signal, progress }) {
    for (let step = 1; step <= 10; step += 1) {
      signal.throwIfAborted()
      await new Promise((resolve) => setTimeout(resolve, 100))
      progress(step / 10, \`step \${step} of 10\`)
    }
    return { hello: input ?? 'world' }
  },
})
`

export const taskTest = (ending: string): string => `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runTask } from 'forerunner/testing'
import hello from '../workers/hello.${ending}'

test('says hello, and how far it is', async () => {
  const { result, progress } = await runTask(hello, 'you')
  assert.deepEqual(result, { hello: 'you' })
  assert.equal(progress.length, 10)
})
`

export const tsconfig = `{
  "compilerOptions": {
    "target": "es2024",
    "lib": ["es2024", "esnext.disposable"],
    "module": "nodenext",
    "types": ["node"],
    "strict": true,
    "noEmit": true,
    "erasableSyntaxOnly": true,
    "allowImportingTsExtensions": true
  },
  "include": ["workers", "test"]
}
`

export const dockerfile = `# docker build -t jobs . && docker run -e API_KEYS=… -p 127.0.0.1:3000:3000 -v jobs:/data --stop-timeout 20 jobs
FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 DATABASE_URL=sqlite:/data/forerunner.db
# See "Memory" in the operations guide.
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=1000000 MALLOC_TRIM_THRESHOLD_=1000000
WORKDIR /app
COPY package.json package-lock.json* ./
RUN npm install --omit=dev --no-audit --no-fund
COPY workers ./workers
RUN mkdir /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 3000
CMD ["node", "--max-semi-space-size=16", "node_modules/forerunner/dist/src/cli.js", "serve"]
`

export const gitignore = `node_modules/
data/
`
