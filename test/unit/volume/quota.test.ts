import { quotaCure } from '../../../lib/volume/quota.js'

describe('what gives a file system quotas of projects', () => {
  const on = (fsType: string, mountpoint = '/srv') => quotaCure({ fsType, mountpoint, source: '/dev/sdb1' })

  test('ext4 learns it while it is not mounted', () => {
    expect(on('ext4')).toBe(
      'As root: umount /srv; tune2fs -O project,quota -Q prjquota /dev/sdb1; mount -o prjquota /dev/sdb1 /srv (kernel: CONFIG_QFMT_V2).',
    )
  })

  test('XFS is told when it is mounted; the root file system by the kernel', () => {
    expect(on('xfs')).toBe('As root: umount /srv; mount -o prjquota /dev/sdb1 /srv (kernel: CONFIG_XFS_QUOTA).')
    expect(on('xfs', '/')).toContain('rootflags=prjquota')
  })

  test.each(['tmpfs', 'overlay', 'btrfs'])('%s has none: another place, or a tmpfs', (fsType) => {
    expect(on(fsType)).toMatch(/^Keep CAISSON_ROOT on ext4 or XFS, .*tmpfs/)
  })
})
