/** Every route of the service, in the order in which they are shown. */
import type { Route } from './route.ts'
import { runRoutes } from './run-routes.ts'
import { serviceRoutes } from './service-routes.ts'

export const routeTable: readonly Route[] = [...runRoutes, ...serviceRoutes]
