import type { Controller } from './controller.js'

/** Huge pages, by size. */
export const hugetlb: Controller = {
  name: 'hugetlb',
  legacy: 'hugetlb',
  needed: (s) => s.hugepages !== undefined && Object.keys(s.hugepages).length > 0,
  unified: (s) =>
    Object.entries(s.hugepages ?? {}).map(([size, limit]) => ({ file: `hugetlb.${size}.max`, text: String(limit) })),
  legacyWrites: (s) =>
    Object.entries(s.hugepages ?? {}).map(([size, limit]) => ({
      file: `hugetlb.${size}.limit_in_bytes`,
      text: String(limit),
    })),
}
