/** Notifications of any length are decoded as they were encoded. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { newRunId } from '../../src/domain/ids.ts'
import {
  decodeNotification,
  encodeNotification,
  type Notification,
} from '../../src/store/postgres/notifications/codec.ts'

function passOn(notice: Notification): Notification[] {
  const texts = encodeNotification(notice)
  for (const text of texts) assert.ok(Buffer.byteLength(text) < 8_000, 'PostgreSQL would refuse it')
  return texts.flatMap((text) => decodeNotification(text, 1) ?? [])
}

test('changes and voided claims arrive whole, in several texts if necessary', () => {
  const changes = Array.from({ length: 500 }, (_, index) => {
    const state = (['running', 'completed', 'failed', 'cancelled'] as const)[index % 4] ?? 'running'
    return { runId: newRunId(), version: index, state, isAnswered: index % 2 === 0, voided: [] }
  })
  const [first, second] = changes
  const voided = [
    ...Array.from({ length: 5_000 }, (_, jobIndex) => ({ runId: first?.runId ?? '', jobIndex, claim: 2 ** 31 - 1 })),
    { runId: second?.runId ?? '', jobIndex: 3, claim: 1 },
  ]
  const heard = passOn({ type: 'commit', from: 2, writer: 1, share: -7, hasWork: true, changes, voided })
  const commits = heard.filter((notice) => notice.type === 'commit')
  assert.ok(commits.every(({ from, writer, share, hasWork }) => from === 2 && writer === 1 && share === -7 && hasWork))
  const once = new Map(commits.flatMap((notice) => notice.changes.map((change) => [change.runId, change])))
  assert.equal([...once.values()], changes)
  assert.equal(
    commits.flatMap((notice) => notice.voided),
    voided,
  )
  for (const notice of commits) {
    const runs = new Set(notice.changes.map(({ runId }) => runId))
    assert.ok(
      notice.voided.every(({ runId }) => runs.has(runId)),
      'a claim comes with the change of its run',
    )
  }
})

test('a commit without changed runs is notified, too', () => {
  const notice = {
    type: 'commit',
    from: 2,
    writer: 1,
    share: 3,
    hasWork: false,
    changes: [],
    voided: [],
  } as const
  assert.equal(passOn(notice), [notice])
})

test('progress arrives with every character of its message', () => {
  const messages = ['', 'half way', 'line\nbreak "quoted" ]', '\u{1f680}'.repeat(30)]
  const progress = Array.from({ length: 400 }, (_, jobIndex) => {
    return { runId: newRunId(), jobIndex, fraction: jobIndex / 400, message: messages[jobIndex % 4] ?? '' }
  })
  const heard = passOn({ type: 'progress', from: 2, progress })
  assert.equal(
    heard.flatMap((notice) => (notice.type === 'progress' ? notice.progress : [])),
    progress,
  )
})

test('own notifications and malformed ones are ignored', () => {
  const [own = ''] = encodeNotification({
    type: 'commit',
    from: 1,
    writer: 1,
    share: 0,
    hasWork: false,
    changes: [],
    voided: [],
  })
  for (const text of [own, '', '2', '2 commit 1 x 1 []', 'hello from somebody else']) {
    assert.is(decodeNotification(text, 1), null, text)
  }
})

test.run()
