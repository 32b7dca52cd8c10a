/** Three kinds of tests: pure ones, those that run containers as whoever starts them, and those of the whole package. */
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
  ],
  testTimeout: 30_000,
}
