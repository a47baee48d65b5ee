/** The frame of every page: the header, and below it the view that the address names. */
import { OverviewPage } from '../overview/overview-page.tsx'
import { RunPage } from '../run/run-page.tsx'
import { RunsPage } from '../runs/runs-page.tsx'
import { SchedulesPage } from '../schedules/schedules-page.tsx'
import { StartPage } from '../start/start-page.tsx'
import { TaskPage } from '../task/task-page.tsx'
import { EnvironmentBadge } from './environment.tsx'
import { KeyForm } from './key-form.tsx'
import { useKeys } from './keys.ts'
import { followLink, go, overviewAddress, route, schedulesAddress, startAddress } from './route.ts'
import { apiKey, isReachable, needsKey } from './service.ts'
import { Shortcuts } from './shortcuts.tsx'

export function App() {
  useKeys({ n: () => go(startAddress), g: () => go('./'), o: () => go(overviewAddress), s: () => go(schedulesAddress) })
  const { page } = route.value
  return (
    <div onClick={followLink}>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header>
        <a class="brand" href="./">
          <Mark />
          <span class="aside">Forerunner</span>
        </a>
        <EnvironmentBadge />
        <nav aria-label="Pages">
          <a href="./" aria-current={page === 'runs' || page === 'run' ? 'page' : undefined}>
            Runs
          </a>
          <a href={overviewAddress} aria-current={page === 'overview' || page === 'task' ? 'page' : undefined}>
            Overview
          </a>
          <a href={schedulesAddress} aria-current={page === 'schedules' ? 'page' : undefined}>
            Schedules
          </a>
          <a href={startAddress} aria-current={page === 'start' ? 'page' : undefined}>
            Start<span class="aside"> a run</span>
          </a>
        </nav>
        <Connection />
        <Shortcuts />
      </header>
      <main id="content" tabIndex={-1}>
        {needsKey.value ? <KeyForm /> : <Page key={apiKey.value} />}
      </main>
    </div>
  )
}

function Page() {
  const shown = route.value
  if (shown.page === 'run') return <RunPage key={shown.id} id={shown.id} />
  if (shown.page === 'overview') return <OverviewPage />
  if (shown.page === 'schedules') return <SchedulesPage />
  if (shown.page === 'task') return <TaskPage key={shown.name} name={shown.name} />
  if (shown.page === 'start') return <StartPage key={shown.from ?? ''} from={shown.from} task={shown.task} />
  return <RunsPage filters={shown.filters} />
}

function Connection() {
  const isLive = isReachable.value
  return (
    <span class={isLive ? 'live' : 'live lost'} role="status">
      <span class="dot" />
      <span class={isLive ? 'live-text' : ''}>{isLive ? 'live' : 'reconnecting…'}</span>
    </span>
  )
}

function Mark() {
  return (
    <svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true">
      <rect class="mark-answer" x="2" y="4" width="8" height="4" rx="2" />
      <path class="mark-line" d="M11.5 2v18" />
      <rect class="mark-work" x="2" y="11" width="15" height="3.4" rx="1.7" />
      <rect class="mark-rest" x="2" y="16.4" width="18" height="3.4" rx="1.7" />
    </svg>
  )
}
