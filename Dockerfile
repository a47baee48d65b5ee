# docker build -t forerunner .
# docker run -e API_KEYS=… -p 127.0.0.1:3000:3000 -v forerunner:/data --stop-timeout 20 forerunner
# Your own tasks and their packages: see "Containers" in docs/operations.md.

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No scripts: what they would fetch is for tests.
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY .scripts ./.scripts
COPY src ./src
COPY web ./web
COPY workers ./workers
RUN npm run build

FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# pg is optional for others; this image is for PostgreSQL. Versions stay those of the lock file.
RUN npm pkg delete devDependencies peerDependencies peerDependenciesMeta \
 && npm install --ignore-scripts --no-audit --no-fund --save-exact pg@8.23.1

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 TASKS_DIR=/app/tasks DATABASE_URL=sqlite:/data/forerunner.db
# See "Memory" in docs/operations.md.
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=1000000 MALLOC_TRIM_THRESHOLD_=1000000
WORKDIR /app
COPY --from=packages /app/package.json ./
COPY --from=packages /app/node_modules ./node_modules
COPY --from=build /app/dist/src ./dist/src
COPY --from=build /app/dist/web ./dist/web
# Those that need no packages of their own.
COPY --from=build /app/dist/workers/first.js /app/dist/workers/second.js /app/dist/workers/third.js ./tasks/
# For tasks with a package.json of their own, which hides the one of this directory.
RUN ln -s .. node_modules/forerunner
# The only directory that its user may write to; a volume that is mounted here takes over the owner.
RUN mkdir /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 3000
# As PID 1, so that it hears SIGTERM itself; give it its graces and five seconds more before SIGKILL.
CMD ["node", "--enable-source-maps", "--max-semi-space-size=16", "dist/src/main.js"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
