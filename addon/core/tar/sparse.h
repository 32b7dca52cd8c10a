// The four ways in which GNU tar stores files with holes ("Storing Sparse Files" in its manual).
#pragma once

#include "core/compress/stream.h"
#include "core/tar/entry.h"
#include "core/tar/header.h"
#include "core/tar/pax.h"

namespace caisson::tar {

// Old GNU: the map starts in the header and goes on in blocks behind it.
void read_old_sparse(const GnuHeader& header, ByteReader& in, Entry& entry);

// Versions 0.0, 0.1 and 1.0, with their records in the extended header; of 1.0 the map stands before the data, and is
// taken from entry.stored. Nothing when `pax` describes no sparse file.
void read_pax_sparse(const Pax& pax, ByteReader& in, Entry& entry);

}  // namespace caisson::tar
