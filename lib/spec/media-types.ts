/** Media types of OCI and of Docker's schema 2, which mean the same. */

export const MEDIA_TYPES = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociForeignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  ociForeignLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  ociForeignLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  dockerForeignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar',
  dockerForeignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
} as const

/** Of the time before content addresses; registries may still offer them, and nobody should take them. */
export const SCHEMA1_TYPES: readonly string[] = [
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
]

const T = MEDIA_TYPES

const LAYERS: ReadonlySet<string> = new Set([
  T.ociLayer,
  T.ociLayerGzip,
  T.ociLayerZstd,
  T.ociForeignLayer,
  T.ociForeignLayerGzip,
  T.ociForeignLayerZstd,
  T.dockerLayer,
  T.dockerLayerGzip,
  T.dockerLayerZstd,
  T.dockerForeignLayer,
  T.dockerForeignLayerGzip,
])

const FOREIGN: ReadonlySet<string> = new Set([
  T.ociForeignLayer,
  T.ociForeignLayerGzip,
  T.ociForeignLayerZstd,
  T.dockerForeignLayer,
  T.dockerForeignLayerGzip,
])

/** A list of manifests for several platforms. */
export function isIndex(mediaType: string): boolean {
  return mediaType === T.ociIndex || mediaType === T.dockerManifestList
}

/** The manifest of one image. */
export function isManifest(mediaType: string): boolean {
  return mediaType === T.ociManifest || mediaType === T.dockerManifest
}

export function isConfig(mediaType: string): boolean {
  return mediaType === T.ociConfig || mediaType === T.dockerConfig
}

/** A file system layer, foreign ones too. */
export function isLayer(mediaType: string): boolean {
  return LAYERS.has(mediaType)
}

/** One that a registry may not hand out: it lies at some URL that the manifest names, which is nobody's to fetch. */
export function isForeignLayer(mediaType: string): boolean {
  return FOREIGN.has(mediaType)
}

/** Of a Docker type, the one of OCI that means the same; of any other, itself. */
export function ociType(mediaType: string): string {
  return DOCKER_TO_OCI.get(mediaType) ?? mediaType
}

const DOCKER_TO_OCI: ReadonlyMap<string, string> = new Map([
  [T.dockerManifest, T.ociManifest],
  [T.dockerManifestList, T.ociIndex],
  [T.dockerConfig, T.ociConfig],
  [T.dockerLayer, T.ociLayer],
  [T.dockerLayerGzip, T.ociLayerGzip],
  [T.dockerLayerZstd, T.ociLayerZstd],
  [T.dockerForeignLayer, T.ociForeignLayer],
  [T.dockerForeignLayerGzip, T.ociForeignLayerGzip],
])
