/** Pure tests, tests that run containers, networks, attacks on the protections, and what goes wrong or on for long. */
const common = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  transform: { '\\.m?[jt]s$': '<rootDir>/test/support/transform.cjs' },
  // p-queue and what it needs are ES modules only.
  transformIgnorePatterns: ['/node_modules/(?!(p-queue|p-timeout|eventemitter3)/)'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.cache'],
}

export default {
  projects: [
    { ...common, displayName: 'unit', testMatch: ['<rootDir>/test/unit/**/*.test.ts'] },
    { ...common, displayName: 'integration', testMatch: ['<rootDir>/test/integration/**/*.test.ts'] },
    // Of the machine's own network they change nothing: scripts/test.mjs runs them in a namespace.
    { ...common, displayName: 'network', testMatch: ['<rootDir>/test/network/**/*.test.ts'] },
    { ...common, displayName: 'security', testMatch: ['<rootDir>/test/security/**/*.test.ts'] },
    { ...common, displayName: 'faults', testMatch: ['<rootDir>/test/faults/**/*.test.ts'] },
    { ...common, displayName: 'endurance', testMatch: ['<rootDir>/test/endurance/**/*.test.ts'] },
  ],
  testTimeout: 30_000,
}
