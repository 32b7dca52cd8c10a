import { ago } from '../../../lib/util/ago.js'

/** As `docker ps` writes them (docker/go-units, duration.go). */
test.each([
  [0.5, 'Less than a second'],
  [1, '1 second'],
  [59, '59 seconds'],
  [60, 'About a minute'],
  [150, '2 minutes'],
  [3600, 'About an hour'],
  [5400, '2 hours'],
  [47 * 3600, '47 hours'],
  [48 * 3600, '2 days'],
  [13 * 86_400, '13 days'],
  [14 * 86_400, '2 weeks'],
  [61 * 86_400, '2 months'],
  [731 * 86_400, '2 years'],
])('%d s is %s', (seconds, words) => {
  expect(ago(new Date(0), seconds * 1000)).toBe(words)
})
