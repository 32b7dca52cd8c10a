import { setTimeout as sleep } from 'node:timers/promises'
import { HealthMonitor, type HealthPlan, healthPlan } from '../../../lib/runtime/container/health.js'

/** A timer for more milliseconds than it can count rings at once: such an image would have us execute without a pause. */
test.each([
  ['an image', healthPlan(undefined, { Test: ['CMD', 'true'], Interval: 3e15, StartInterval: 3e15 })],
  ['a caller', healthPlan({ test: ['CMD', 'true'], interval: '960h', startInterval: 4e9 }, undefined)],
])('checks that %s wants once in weeks are not made all the time', async (_, plan) => {
  let looks = 0
  const monitor = new HealthMonitor(
    plan as HealthPlan,
    async () => {
      looks++
      return true
    },
    () => undefined,
  )
  await sleep(50)
  monitor.stop()
  expect(looks).toBe(0)
})
