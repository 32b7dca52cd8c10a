/* What the watchdog does about networks (lib/network/active.ts). */
#pragma once

/*
 * `directory` holds a link for each bridge that the owner used, named as the device, to a file that every user holds a
 * shared lock of. Who gets it alone was the last user, and removes the bridge. The link `forwarding` leads to such a
 * file as well: beside it lie files named as the devices that forward only for our networks.
 */
void remove_links(const char *directory);
