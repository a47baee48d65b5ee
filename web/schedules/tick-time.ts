/** Formats an instant in the time zone of a schedule and in the reader's. Pure except for the reader's zone. */

const ownZone = new Intl.DateTimeFormat().resolvedOptions().timeZone

/** `Tue 1 Dec, 03:00 Europe/Berlin`, and ` · 02:00 UTC here` if the reader's clock shows another time */
export function bothZones(instant: string, timeZone: string): string {
  const at = new Date(instant)
  const there = textIn(at, timeZone)
  const here = textIn(at, ownZone)
  if (there === here) return `${there} ${timeZone}`
  const [thereDay] = there.split(', ')
  const [hereDay, hereTime] = here.split(', ')
  return `${there} ${timeZone} · ${hereDay === thereDay ? hereTime : here} ${ownZone}, here`
}

function textIn(at: Date, timeZone: string): string {
  const part = (options: Intl.DateTimeFormatOptions): string =>
    new Intl.DateTimeFormat('en-GB', { timeZone, ...options }).format(at)
  const seconds = at.getUTCSeconds() === 0 ? {} : ({ second: '2-digit' } as const)
  const day = part({ weekday: 'short', day: 'numeric', month: 'short' }).replace(',', '')
  return `${day}, ${part({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...seconds })}`
}
