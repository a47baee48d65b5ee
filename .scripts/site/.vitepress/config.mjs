// The documents as a site, from the unchanged files: README.md, CHANGELOG.md and docs/, with the same paths.
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))
const page = (text, path) => ({ text, link: `/docs/${path}` })

const sections = {
  Guides: [
    page('From the FastAPI recipe', 'guides/from-fastapi'),
    page('From serverless functions', 'guides/serverless'),
    page('Inside an Express app', 'guides/express'),
    page('To PostgreSQL', 'guides/postgresql'),
    page('Repeatable tasks', 'guides/repeatable-tasks'),
    page('Examples', 'examples/README'),
  ],
  Using: [
    page('Tasks', 'tasks'),
    page('HTTP by example', 'http'),
    page('Schedules', 'schedules'),
    page('Webhooks', 'webhooks'),
    page('Library', 'library'),
    page('Command', 'command'),
    page('Testing', 'testing'),
    page('Live page', 'page'),
    page('Traces', 'telemetry'),
  ],
  Running: [page('Operations', 'operations'), page('Several processes', 'scaling'), page('Misbehaving tasks', 'pool')],
  Reference: [page('HTTP', 'reference/http'), page('TypeScript', 'reference/typescript')],
  Inside: [
    page('Compared', 'comparison'),
    page('Architecture', 'architecture'),
    page('Benchmarks', 'benchmarks'),
    page('Performance', 'performance'),
    page('Contributing', 'CONTRIBUTING'),
    page('Security', 'SECURITY'),
    page('Releases', 'releasing'),
  ],
}

export default defineConfig({
  title: 'Forerunner',
  description: "Answers with the first task's result, and runs the other tasks durably in worker threads.",
  srcDir: root,
  srcExclude: ['{bench,data,dist,node_modules,src,test,web,workers}/**', '.dist-*/**'],
  outDir: join(root, '.dist-site'),
  cacheDir: join(root, 'node_modules/.cache/vitepress'),
  rewrites: { 'README.md': 'index.md' },
  markdown: {
    // README is the first page; links in other files name it as a file.
    config(markdown) {
      markdown.core.ruler.push('readme', ({ tokens }) => {
        for (const token of tokens.flatMap(({ children }) => children ?? [])) {
          const href = token.attrGet('href')
          if (href !== null) token.attrSet('href', href.replace(/^((?:\.\.\/)+)README\.md/, '$1index.md'))
        }
      })
    },
  },
  // Files of the repository that are not pages.
  ignoreDeadLinks: [/LICENSE$/, /llms\.txt$/, /\.(?:ts|py)$/],
  themeConfig: {
    sidebar: Object.entries(sections).map(([text, items]) => ({ text, items })),
    search: { provider: 'local' },
    outline: [2, 3],
  },
  /** Also publishes the Markdown files for programs, which start with llms.txt. */
  buildEnd({ outDir }) {
    cpSync(join(root, 'docs'), join(outDir, 'docs'), { recursive: true, filter: (path) => !path.endsWith('.html') })
    for (const name of ['README.md', 'LICENSE']) cpSync(join(root, name), join(outDir, name))
    const index = readFileSync(join(root, 'docs/llms.txt'), 'utf8')
    writeFileSync(join(outDir, 'llms.txt'), index.replaceAll('](../', '](').replaceAll(/\]\((?!README)/g, '](docs/'))
  },
})
