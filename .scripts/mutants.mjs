// Breaks the store on purpose, one mutation at a time, in a copy of the project, and expects the model's tests to fail:
// `npm run test:mutants`, or with a word of their names, `npm run test:mutants -- fence`. A text that is not found is an
// error, so a change of such a line has to change its mutation too.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const mutants = [
  {
    name: 'SQLite: the fence is taken out',
    why: 'A job that runs can be settled under any claim, also one that was given back before.',
    tests: '^model/sqlite',
    edits: [
      {
        file: 'src/domain/run/transitions.ts',
        find: "return job?.state === 'running' && job.claim === claim",
        replace: "return job?.state === 'running' && Number.isInteger(claim)",
      },
    ],
  },
  {
    name: 'SQLite: the reply goes out before the commit',
    why: 'The transaction ends with the next one: what was acknowledged is gone when the process dies before that.',
    tests: '^model/sqlite',
    edits: [
      {
        file: 'src/store/sqlite/writing/group-commit.ts',
        find: 'end.run()',
        replace: '',
      },
      {
        file: 'src/store/sqlite/writing/group-commit.ts',
        find: 'begin.run()',
        replace: 'if (database.isTransaction) end.run()\n      begin.run()',
      },
    ],
  },
  {
    name: 'SQLite: a waiting job is not in the queue',
    why: 'A job that was claimed once waits again, and no claim finds it.',
    tests: '^model/sqlite',
    edits: [
      {
        file: 'src/store/sqlite/statements/queue.ts',
        find: 'if (runAt === null) return null',
        replace: 'if (runAt === null || job.claim > 0) return null',
      },
    ],
  },
  {
    name: 'SQLite: a rescue takes back what it has cancelled',
    why: 'The crash of a first job cancels the others of its run, also those that the same process ran.',
    tests: '^model/sqlite',
    edits: [
      {
        file: 'src/domain/run/transitions.ts',
        find: "const job = jobAt(changed, index)\n    if (job.state !== 'running'",
        replace: "const job = jobAt(run, index)\n    if (job.state !== 'running'",
      },
    ],
  },
  {
    name: 'SQLite: the webhook of a cancelled run is not due',
    why: 'Each end of a run makes one delivery, also an end that nobody has worked for.',
    tests: '^model/sqlite',
    edits: [
      {
        file: 'src/domain/run/verbs.ts',
        find: "outcome === 'running'",
        replace: "outcome === 'running' || outcome === 'cancelled'",
      },
    ],
  },
  {
    name: 'SQLite: starts before a restart do not count to a rate',
    why: 'A process that dies lets the next one start as many jobs again, within the same window.',
    tests: '^model/sqlite',
    edits: [
      {
        file: 'src/store/sqlite/statements/tasks.ts',
        find: 'let byTask = read()',
        replace: 'let byTask: ReturnType<typeof read> = new Map()',
      },
    ],
  },
  {
    name: 'a step is said to be stored before its commit',
    why: 'A process that dies right after it runs the step once more.',
    tests: '^process/steps',
    edits: [
      {
        file: 'src/dispatch/execute.ts',
        find: 'return persist(fields, () => store.keepStep(claimOf({ runId, jobIndex, claim }), step, clock.now()))',
        replace: `void persist(fields, () => store.keepStep(claimOf({ runId, jobIndex, claim }), step, clock.now()))
      return Promise.resolve('kept' as const)`,
      },
    ],
  },
  {
    name: 'PostgreSQL: the webhook of an end is not due where the run goes on in the same transaction',
    why: 'A retry in the group that ends a run hides the end from who looks at the transaction as a whole.',
    tests: '^store/postgres-deliveries',
    edits: [
      {
        file: 'src/store/postgres/writing/unit-of-work.ts',
        find: 'const due = deliveryOfEnd(old, run)',
        replace: 'const due = deliveryOfEnd(before.get(run.id)?.run ?? old, run)',
      },
    ],
  },
  {
    name: 'PostgreSQL: the fence is taken out',
    why: 'A job that runs can be settled under any claim, also that of a process which was taken for dead.',
    tests: '^model/postgres',
    edits: [
      {
        file: 'src/domain/run/transitions.ts',
        find: "return job?.state === 'running' && job.claim === claim",
        replace: "return job?.state === 'running' && Number.isInteger(claim)",
      },
    ],
  },
  {
    name: 'PostgreSQL: the reply goes out before the commit',
    why: 'What was acknowledged is seen by nobody until its transaction has ended, and gone when it does not.',
    tests: '^model/postgres',
    edits: [
      {
        file: 'src/store/postgres/writing/group-commit.ts',
        find: 'await Promise.all([sent, commit && query(commit)])',
        replace: 'await Promise.all([sent, commit && void setTimeout(() => void query(commit).catch(() => {}), 20)])',
      },
    ],
  },
  {
    name: 'PostgreSQL: a waiting job is not in the queue',
    why: 'A job that was claimed once waits again, and no claim finds it.',
    tests: '^model/postgres',
    edits: [
      {
        file: 'src/store/postgres/writing/unit-of-work.ts',
        find: 'if (runAt === null) return null',
        replace: 'if (runAt === null || job.claim > 0) return null',
      },
    ],
  },
  {
    name: 'PostgreSQL: an outdated record is written all the same',
    why: 'What another process has made of a run is lost when this one writes what it remembers.',
    tests: '^store/postgres-shared',
    edits: [
      {
        file: 'src/store/postgres/statements/save.ts',
        find: 'WHERE record.id = new.id AND record.revision = new.revision RETURNING',
        replace: 'WHERE record.id = new.id RETURNING',
      },
    ],
  },
  {
    name: 'SQLite: a tick is not compared with what its process has read',
    why: 'Two writers of one tick both go on to the next one, and each makes a run.',
    tests: '^model/sqlite',
    edits: [
      {
        file: 'src/store/sqlite/statements/schedules.ts',
        find: "schedule = ? WHERE name = ? AND revision = ?'",
        replace: "schedule = ? WHERE name = ? AND ? IS NOT NULL'",
      },
    ],
  },
  {
    name: 'PostgreSQL: a tick is not compared with what its process has read',
    why: 'Two processes of one tick both go on to the next one, and each makes a run.',
    tests: '^schedules/year',
    edits: [
      {
        file: 'src/store/postgres/statements/schedules.ts',
        find: 'WHERE name = $1 AND revision = $5',
        replace: 'WHERE name = $1 AND $5::text IS NOT NULL',
      },
    ],
  },
]

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const [pattern = ''] = process.argv.slice(2)
const copied = ['src', 'web', 'test', 'workers', '.scripts', 'package.json', 'package-lock.json', 'tsconfig.json']
const copy = mkdtempSync(join(tmpdir(), 'forerunner-mutants-'))
const env = { ...process.env, MODEL_SHRINK: 'off' }

const run = (args) => spawnSync(process.execPath, args, { cwd: copy, env, encoding: 'utf8', timeout: 300_000 })

function mutate({ file, find, replace }) {
  const path = join(copy, file)
  const source = readFileSync(path, 'utf8')
  const parts = source.split(find)
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times, not once: ${find}`)
  writeFileSync(path, parts.join(replace))
}

/** Whether the tests fail, and why. @throws if they could not be run at all */
function fails(tests, edits) {
  for (const edit of edits) mutate(edit)
  const build = run(['.scripts/build.mjs'])
  if (build.status !== 0) throw new Error(`it cannot be built:\n${build.stdout}${build.stderr}`)
  const { status, stdout, stderr } = run([
    '--import',
    'tsx',
    'node_modules/uvu/bin.js',
    'test',
    `${tests}.*\\.test\\.ts$`,
  ])
  if (status === 0) return false
  const reason = /Got error: .*|FAIL .*/.exec(stdout)?.[0]
  if (reason === undefined) throw new Error(`the tests did not end by themselves:\n${stdout}${stderr}`)
  console.log(`  ${reason.slice(0, 200)}`)
  return true
}

try {
  for (const name of copied) cpSync(join(root, name), join(copy, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  const survivors = []
  const chosen = mutants.filter(({ name }) => name.includes(pattern))
  for (const tests of new Set(chosen.map((mutant) => mutant.tests))) {
    if (fails(tests, [])) throw new Error(`${tests} fails without any mutation`)
  }
  for (const mutant of chosen) {
    console.log(`${mutant.name}\n  ${mutant.why}`)
    if (!fails(mutant.tests, mutant.edits)) survivors.push(mutant.name)
    cpSync(join(root, 'src'), join(copy, 'src'), { recursive: true })
  }
  for (const name of survivors) console.log(`the tests do not notice: ${name}`)
  console.log(survivors.length === 0 ? 'every mutation was noticed' : `${survivors.length} were not noticed`)
  process.exitCode = survivors.length === 0 ? 0 : 1
} finally {
  rmSync(copy, { recursive: true, force: true })
}
