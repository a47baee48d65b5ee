import { availableParallelism } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { configOf, doubtsAbout, optionName, readConfig, shownDatabase, type Config } from '../src/config.ts'
import { BootError } from '../src/domain/errors.ts'

const defaults: Config = {
  host: '127.0.0.1',
  port: 3000,
  databaseUrl: 'sqlite:data/forerunner.db',
  databaseSchema: 'forerunner',
  role: 'all',
  firstJobs: 'main',
  tasksDir: 'workers',
  threads: Math.max(1, availableParallelism() - 1),
  ioThreads: 1,
  ioConcurrency: 100,
  apiKeys: [],
  apiKeysRead: [],
  maxBodyBytes: 1_048_576,
  maxInFlightBytes: 67_108_864,
  maxTasksPerRun: 100,
  maxBacklog: 100_000,
  maxStreams: 1000,
  mainBudgetMs: 50,
  mainStallMs: 30_000,
  searchIndex: true,
  webhookUrl: '',
  webhookSecret: [],
  webhookAllowPrivate: false,
  logRetentionMs: 86_400_000,
  logMaxBytes: 268_435_456,
  statsRetentionMs: 604_800_000,
  retentionMs: 604_800_000,
  cancelGraceMs: 500,
  shutdownGraceMs: 7_000,
  logLevel: 'info',
  environment: '',
}
const variables = Object.keys(defaults).map((name) => name.replaceAll(/[A-Z]/g, '_$&').toUpperCase())

test('without any variable everything has its default, and nothing can be changed afterwards', () => {
  const config = readConfig({})
  assert.equal(config, defaults)
  assert.ok(Object.isFrozen(config))
})

test('an empty value counts as unset', () => {
  assert.equal(readConfig(Object.fromEntries(variables.map((name) => [name, '']))), defaults)
})

test('more threads than the cores can use are called into doubt', () => {
  const cores = availableParallelism()
  const doubts = (threads: number) => doubtsAbout(readConfig({ THREADS: String(threads) }))
  assert.equal(doubts(cores * 4), [])
  assert.match(doubts(1000)[0] ?? '', `THREADS is 1000 on ${cores} cores`)
})

test('variables that are none of ours are left alone', () => {
  assert.equal(readConfig({ PATH: '/bin', PORTS: 'x', HOME: undefined }), defaults)
})

test('every variable sets its member', () => {
  const environment = {
    HOST: '::1',
    PORT: '0',
    DATABASE_URL: 'postgres://me:secret@db.example:5433/jobs?sslmode=require',
    DATABASE_SCHEMA: 'jobs_2',
    ROLE: 'worker',
    FIRST_JOBS: 'pool',
    TASKS_DIR: 'tasks',
    THREADS: '3',
    IO_THREADS: '2',
    IO_CONCURRENCY: '7',
    API_KEYS: 'one, two ,~!"three+-/=',
    API_KEYS_READ: 'four',
    MAX_BODY_BYTES: '1000',
    MAX_IN_FLIGHT_BYTES: '2000000',
    MAX_TASKS_PER_RUN: '5',
    MAX_BACKLOG: '9',
    MAX_STREAMS: '6',
    MAIN_BUDGET_MS: '4',
    MAIN_STALL_MS: '100',
    SEARCH_INDEX: 'false',
    WEBHOOK_URL: 'https://hooks.example/runs',
    WEBHOOK_SECRET: ' whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\twhsec_AAAA ',
    WEBHOOK_ALLOW_PRIVATE: 'true',
    LOG_RETENTION_MS: '0',
    LOG_MAX_BYTES: '1048576',
    STATS_RETENTION_MS: '0',
    RETENTION_MS: '0',
    CANCEL_GRACE_MS: '1',
    SHUTDOWN_GRACE_MS: '2',
    LOG_LEVEL: 'silent',
    ENVIRONMENT: 'production eu-1',
  }
  const config = {
    host: '::1',
    port: 0,
    databaseUrl: 'postgres://me:secret@db.example:5433/jobs?sslmode=require',
    databaseSchema: 'jobs_2',
    role: 'worker',
    firstJobs: 'pool',
    tasksDir: 'tasks',
    threads: 3,
    ioThreads: 2,
    ioConcurrency: 7,
    apiKeys: ['one', 'two', '~!"three+-/='],
    apiKeysRead: ['four'],
    maxBodyBytes: 1000,
    maxInFlightBytes: 2_000_000,
    maxTasksPerRun: 5,
    maxBacklog: 9,
    maxStreams: 6,
    mainBudgetMs: 4,
    mainStallMs: 100,
    searchIndex: false,
    webhookUrl: 'https://hooks.example/runs',
    webhookSecret: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_AAAA'],
    webhookAllowPrivate: true,
    logRetentionMs: 0,
    logMaxBytes: 1_048_576,
    statsRetentionMs: 0,
    retentionMs: 0,
    cancelGraceMs: 1,
    shutdownGraceMs: 2,
    logLevel: 'silent',
    environment: 'production eu-1',
  } as const
  assert.equal(Object.keys(environment), variables)
  assert.equal(readConfig(environment), config)
  assert.equal(configOf(config), config)
})

const wrong: Record<string, readonly string[]> = {
  PORT: ['none', '-1', '65536', '1.5', '1e3', '0x10', ' 80', '80 ', '9'.repeat(30)],
  DATABASE_URL: ['postgres', 'mysql://localhost/jobs', 'sqlite:', 'file:jobs.db', ' sqlite:jobs.db', 'postgres://a b'],
  DATABASE_SCHEMA: ['1st', 'Jobs', 'my jobs', 'a"b', 'x'.repeat(49)],
  ROLE: ['web', 'ALL'],
  FIRST_JOBS: ['threads', 'MAIN'],
  THREADS: ['0', '1025', 'all'],
  IO_THREADS: ['0', '65'],
  IO_CONCURRENCY: ['0', '10001'],
  API_KEYS: [',', ' ', 'a,', ',a', 'a,,b', 'a b', 'schlüssel', 'a\tb', 'x'.repeat(256)],
  WEBHOOK_URL: [
    'hooks.example',
    'ftp://hooks.example',
    'https://',
    'file:///etc/passwd',
    'https://me:%zz@hooks.example',
  ],
  WEBHOOK_SECRET: ['secret', 'whsec_', 'whsec_a', 'whsec_AA=A', 'whsec_AAAA,whsec_AAAA', 'whsec_AAAA x'],
  WEBHOOK_ALLOW_PRIVATE: ['yes', '1'],
  MAX_BODY_BYTES: ['0', '1mb'],
  MAX_IN_FLIGHT_BYTES: ['1048575', '64mb'],
  MAX_TASKS_PER_RUN: ['0', '10001'],
  MAX_BACKLOG: ['0', '-5'],
  MAX_STREAMS: ['-1', 'many'],
  MAIN_BUDGET_MS: ['0', '2147483648'],
  MAIN_STALL_MS: ['99', '2147483648'],
  SEARCH_INDEX: ['on', '1', 'TRUE'],
  LOG_RETENTION_MS: ['1d', '-1'],
  STATS_RETENTION_MS: ['1w', '-1'],
  LOG_MAX_BYTES: ['1048575', '1e9'],
  RETENTION_MS: ['7d', '-1'],
  // Above 2^31 − 1 a timer fires at once.
  CANCEL_GRACE_MS: ['2147483648'],
  SHUTDOWN_GRACE_MS: ['2147483648', 'Infinity'],
  LOG_LEVEL: ['loud', 'INFO'],
  ENVIRONMENT: ['<b>', 'x'.repeat(33)],
}

for (const [name, values] of Object.entries(wrong)) {
  test(`a wrong ${name} is refused by its name`, () => {
    for (const value of values) {
      const { message } = refusal(() => readConfig({ [name]: value }))
      assert.ok(message.includes(name), message)
      const others = variables.filter((other) => other !== name && !name.includes(other))
      assert.equal(
        others.filter((other) => message.includes(other)),
        [],
        message,
      )
    }
  })
}

test('all wrong variables are named at once', () => {
  const { message } = refusal(() => readConfig({ PORT: 'x', LOG_LEVEL: 'x', THREADS: '2' }))
  assert.ok(message.includes('PORT') && message.includes('LOG_LEVEL'), message)
  assert.not.ok(message.includes('THREADS'), message)
})

test('options have the names of the variables in camel case, and undefined means the default', () => {
  assert.equal(configOf({}), defaults)
  const { maxTasksPerRun, ...rest } = configOf({ maxTasksPerRun: 1 })
  assert.is(maxTasksPerRun, 1)
  assert.equal({ ...rest, maxTasksPerRun: 100 }, defaults)
  assert.ok(refusal(() => configOf({ ioThreads: 0.5 })).message.includes(': ioThreads must'))
})

test('an error names the option or the variable that its reader has set', () => {
  const refused: Partial<Config>[] = [
    { maxBacklog: 0 },
    { host: '0.0.0.0' },
    { role: 'http' },
    { apiKeys: ['a'], apiKeysRead: ['a'] },
    { firstJobs: 'none' as 'main' },
  ]
  for (const options of refused) {
    const { message } = refusal(() => configOf(options))
    assert.not.match(message, /[A-Z]{3}/)
    for (const name of Object.keys(options)) assert.ok(message.includes(name), message)
  }
  assert.match(doubtsAbout(configOf({ threads: 1000 }), optionName)[0] ?? '', /^threads is 1000 /)
})

test('the keys of the library are a list, in which nothing is split, joined or left out', () => {
  assert.equal(configOf({ apiKeys: [] }), defaults)
  assert.equal(configOf({ apiKeys: ['x'.repeat(255), 'b'] }).apiKeys, ['x'.repeat(255), 'b'])
  for (const apiKeys of [[''], ['a', ''], ['a,b'], [' a'], [','], [undefined], [7]]) {
    const options = { apiKeys } as unknown as Partial<Config>
    assert.ok(refusal(() => configOf(options)).message.includes('apiKeys'), JSON.stringify(apiKeys))
  }
})

test('a key is for reading or for writing, and not for both', () => {
  const { message } = refusal(() => readConfig({ API_KEYS: 'one,twice', API_KEYS_READ: 'twice' }))
  assert.ok(message.includes('API_KEYS_READ') && !message.includes('twice'), message)
  assert.is(readConfig({ HOST: '0.0.0.0', API_KEYS_READ: 'reader' }).host, '0.0.0.0')
})

test('an error never shows an invalid secret, and an address for webhooks requires a secret', () => {
  assert.not.ok(refusal(() => readConfig({ WEBHOOK_SECRET: 'whsec_nicht/ins/log' })).message.includes('nicht'))
  const { message } = refusal(() => readConfig({ WEBHOOK_URL: 'https://user:nicht@hooks.example' }))
  assert.ok(
    message.includes('WEBHOOK_URL') && message.includes('WEBHOOK_SECRET') && !message.includes('nicht'),
    message,
  )
  assert.match(doubtsAbout(readConfig({ WEBHOOK_SECRET: 'whsec_AAAA' }))[0] ?? '', /^WEBHOOK_SECRET has a key of less/)
})

test('an error never shows an invalid key', () => {
  assert.not.ok(refusal(() => readConfig({ API_KEYS: 'gehörtnichtinslog' })).message.includes('nichtinslog'))
})

test('a database that cannot be shared needs a process that does everything', () => {
  for (const ROLE of ['http', 'worker'] as const) {
    assert.ok(refusal(() => readConfig({ ROLE })).message.includes('ROLE'))
    assert.is(readConfig({ ROLE, DATABASE_URL: 'postgresql:///jobs' }).role, ROLE)
  }
})

test('a database URL is shown without its user, password and parameters', () => {
  const shown = shownDatabase('postgres://me:secret@db.example:5433/jobs?password=secret')
  assert.is(shown, 'postgres://db.example:5433/jobs')
  assert.is(shownDatabase('sqlite:data/jobs.db'), 'sqlite:data/jobs.db')
})

test('an address that others can reach needs keys', () => {
  const open = [
    '0.0.0.0',
    '::',
    '192.168.0.1',
    '128.0.0.1',
    '::2',
    'example.org',
    'localhost.example.org',
    '127.0.0.1x',
  ]
  for (const HOST of open) {
    const { message } = refusal(() => readConfig({ HOST }))
    assert.ok(message.includes('HOST') && message.includes('API_KEYS'), message)
    assert.is(readConfig({ HOST, API_KEYS: 'key' }).host, HOST)
  }
  for (const HOST of ['localhost', 'LOCALHOST', '127.0.0.1', '127.255.0.9', '::1', '0:0:0:0:0:0:0:1']) {
    assert.is(readConfig({ HOST }).host, HOST)
  }
})

function refusal(act: () => unknown): BootError {
  try {
    act()
  } catch (error) {
    if (error instanceof BootError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

test.run()
