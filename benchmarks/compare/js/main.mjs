// TanStack db-ivm, asked in lines over pipes: the protocol is in ../src/piped.rs, the data in ../src/workload.rs.
import { createInterface } from 'node:readline'
import { readFileSync } from 'node:fs'
import {
  D2, MultiSet, filter, groupBy, groupByOperators, join, map, orderByWithFractionalIndex, output,
} from '@tanstack/db-ivm'

const installed = new URL('./node_modules/@tanstack/db-ivm/package.json', import.meta.url)
const version = JSON.parse(readFileSync(installed, 'utf8')).version
const BATCH = 100

function mix(number, seed) {
  let hash = Math.imul(number ^ seed, 0x9e3779b1)
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

const weigh = (a, b) => (a + 1) * (b + 7)
const result = ({ id, prio, title }) => ({ id, prio, title })
const now = () => process.hrtime.bigint()

class Trial {
  constructor(task, issues, projects, queries, seed) {
    Object.assign(this, { task, issues, projects, queries, seed, total: 0 })
    this.rows = Array.from({ length: issues }, (_, id) => this.issue(id))
    if (task === 'add' || task === 'drop' || task === 'new') {
      this.byProject = new Map()
      for (const row of this.rows) {
        if (!this.byProject.has(row.project)) this.byProject.set(row.project, [])
        this.byProject.get(row.project).push(row)
      }
    }
    if (!task.startsWith('hydrate') && task !== 'new') {
      this.build()
      this.load(this.rows)
    }
  }

  issue(id) {
    const hash = mix(id, this.seed)
    return {
      id, project: id % this.projects, status: hash % 4, prio: (hash >>> 8) % 100,
      title: `the title of issue ${id}`,
    }
  }

  touched(step) {
    return mix(step, this.seed) % (this.task === 'keyed' ? this.queries : this.issues)
  }

  asked(step) {
    return this.queries + (step % (this.projects - this.queries))
  }

  /** Reads what comes out: `pair` gives the two numbers of a row. */
  read(pair) {
    return output((rows) => {
      for (const [row, weight] of rows.getInner()) {
        const [a, b] = pair(row)
        this.total += weight * weigh(a, b)
      }
    })
  }

  build() {
    const graph = new D2()
    this.graph = graph
    this.issueInput = graph.newInput()
    const issues = this.issueInput
    const row = ({ id, prio }) => [id, prio]
    switch (this.task) {
      case 'hydrate-filter':
      case 'hydrate-json':
        issues.pipe(filter((x) => x.status < 1 && x.prio > 20), map(result), this.read(row))
        break
      case 'filter':
        issues.pipe(filter((x) => x.status < 3 && x.prio > 20), map(result), this.read(row))
        break
      case 'hydrate-join':
      case 'batch':
      case 'join': {
        const least = this.task === 'hydrate-join' ? -1 : 20
        this.projectInput = graph.newInput()
        const projects = this.projectInput.pipe(map((x) => [x.id, x]))
        issues.pipe(
          filter((x) => x.prio > least),
          map((x) => [x.project, x]),
          join(projects, 'inner'),
          map(([project, [issue, { name }]]) => ({ id: issue.id, project, title: issue.title, name })),
          this.read(({ id, project }) => [id, project]),
        )
        break
      }
      case 'count':
        issues.pipe(groupBy(({ prio }) => ({ prio }), { count: groupByOperators.count() }),
          this.read(([, { prio, count }]) => [prio, count]))
        break
      case 'min':
      case 'max':
        issues.pipe(
          groupBy(({ project }) => ({ project }), { value: groupByOperators[this.task](({ prio }) => prio) }),
          this.read(([, { project, value }]) => [project, value]))
        break
      case 'top':
        issues.pipe(map((x) => [x.id, result(x)]),
          orderByWithFractionalIndex((x) => x, { limit: 10, comparator: (a, b) => b.prio - a.prio || a.id - b.id }),
          this.read(([, [x]]) => [x.id, x.prio]))
        break
      case 'keyed':
      case 'add':
      case 'drop': {
        this.keyInput = graph.newInput()
        const keys = this.keyInput.pipe(map((key) => [key, key]))
        issues.pipe(map((x) => [x.project, x]), join(keys, 'inner'), map(([, [x]]) => result(x)), this.read(row))
        break
      }
      case 'unindexed':
        for (let query = 0; query < this.queries; query++) {
          const factor = 1 + (query % 10)
          const bound = factor * 98 + Math.floor(query / 10)
          issues.pipe(filter((x) => x.prio * factor + x.status > bound), map(result), this.read(row))
        }
        break
    }
    graph.finalize()
  }

  load(rows) {
    this.issueInput.sendData(new MultiSet(rows.map((row) => [row, 1])))
    if (this.projectInput) {
      const project = (_, id) => [{ id, name: `project ${id}` }, 1]
      this.projectInput.sendData(new MultiSet(Array.from({ length: this.projects }, project)))
    }
    if (this.keyInput) {
      this.keyInput.sendData(new MultiSet(Array.from({ length: this.queries }, (_, key) => [key, 1])))
    }
    this.graph.run()
  }

  step(step) {
    switch (this.task) {
      case 'hydrate-filter':
      case 'hydrate-join': {
        this.total = 0
        const start = now()
        this.build()
        this.load(this.rows)
        return now() - start
      }
      case 'hydrate-json': {
        const found = []
        this.read = () => output((rows) => { for (const [row] of rows.getInner()) found.push(row) })
        const start = now()
        this.build()
        this.load(this.rows)
        this.text = JSON.stringify(found)
        return now() - start
      }
      case 'add':
      case 'drop': {
        const key = this.asked(step)
        const set = (weight) => {
          const start = now()
          this.keyInput.sendData(new MultiSet([[key, weight]]))
          this.graph.run()
          return now() - start
        }
        this.total = 0
        const added = set(1)
        const total = this.total
        const dropped = set(-1)
        this.total = total
        return this.task === 'add' ? added : dropped
      }
      case 'new': {
        const project = this.asked(step)
        this.total = 0
        const start = now()
        const graph = new D2()
        const input = graph.newInput()
        input.pipe(filter((x) => x.project === project && x.prio > -1 - step), map(result),
          this.read(({ id, prio }) => [id, prio]))
        graph.finalize()
        input.sendData(new MultiSet(this.byProject.get(project).map((row) => [row, 1])))
        graph.run()
        return now() - start
      }
    }
    const changes = this.changes(step)
    const start = now()
    this.issueInput.sendData(new MultiSet(changes))
    this.graph.run()
    return now() - start
  }

  changes(step) {
    if (this.task === 'batch') {
      if (step % 2 === 0) {
        const row = (_, k) => ({ ...this.issue(this.issues + k), status: 1, prio: 50 })
        this.batch = Array.from({ length: BATCH }, row)
      }
      return this.batch.map((row) => [row, step % 2 === 0 ? 1 : -1])
    }
    const place = this.touched(step)
    const old = this.rows[place]
    const next = { ...old, prio: (old.prio + 1 + (step % 98)) % 100 }
    this.rows[place] = next
    return [[old, -1], [next, 1]]
  }
}

let trial = null
const has = (task) => task !== 'reach'

function answer(line) {
  const [word, ...rest] = line.split(' ')
  switch (word) {
    case 'name': return `TanStack db-ivm ${version}`
    case 'open': {
      const [task, ...numbers] = rest
      if (!has(task)) return 'no'
      trial = new Trial(task, ...numbers.map(Number))
      return 'ok'
    }
    case 'run': {
      const [first, count] = rest.map(Number)
      return Array.from({ length: count }, (_, k) => trial.step(first + k)).join(' ')
    }
    case 'sum': return trial.task === 'drop' || trial.task === 'hydrate-json' ? '-' : String(trial.total)
    case 'close':
      trial = null
      return 'ok'
    default: return `unknown: ${line}`
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${answer(line)}\n`)
}
