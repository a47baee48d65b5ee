/** Cron patterns in words. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { wordsOfCron } from '../../web/schedules/cron-words.ts'

const words: Readonly<Record<string, string | null>> = {
  '* * * * *': 'every minute',
  '*/5 * * * *': 'every 5 minutes',
  '*/10 * * * * *': 'every 10 seconds',
  '0 * * * *': 'every hour',
  '7 * * * *': 'every hour at :07',
  '0 */6 * * *': 'every 6 hours',
  '0 3 * * *': 'at 03:00 every day',
  '30 8,12 * * 1-5': 'at 08:30 and 12:30 on weekdays',
  '0 9 * * MON,thu': 'at 09:00 on Mondays and Thursdays',
  '0 0 * * 7': 'at 00:00 on Sundays',
  '15 4 1 * *': 'at 04:15 on day 1 of each month',
  '0 0 L 12 *': 'at 00:00 on the last day of December',
  '@daily': 'at 00:00 every day',
  '0 9 * 1,7 *': 'at 09:00 every day of January and July',
  '0 9 * * 1#2': null,
  '5-10 * * * *': null,
  '1 0 9 * * *': null,
  '0 9 13 * 5': null,
  nonsense: null,
}

test('the usual patterns are said in words, and others are left as they are', () => {
  for (const [pattern, said] of Object.entries(words)) assert.is(wordsOfCron(pattern), said, pattern)
})

test.run()
