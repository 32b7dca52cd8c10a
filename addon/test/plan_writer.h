// Plans for the init program, as lib/runtime/lower/plan.ts writes them.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "init/plan.h"

class PlanWriter {
 public:
  explicit PlanWriter(uint32_t inherited = 0) : inherited_(inherited) {}

  PlanWriter& add(plan_op op, std::vector<uint64_t> numbers = {}, const std::vector<std::string>& strings = {},
                  const std::string& blob = {}, uint16_t flags = 0) {
    plan_record record = {};
    std::string body;
    for (const std::string& text : strings) body.append(text.c_str(), text.size() + 1);
    body += blob;
    record.code = static_cast<uint16_t>(op);
    record.flags = flags;
    record.strings = static_cast<uint32_t>(strings.size());
    record.blob = static_cast<uint32_t>(blob.size());
    for (size_t i = 0; i < numbers.size(); i++) record.number[i] = numbers[i];
    body.resize((body.size() + 7) / 8 * 8);
    record.size = static_cast<uint32_t>(sizeof record + body.size());
    records_.append(reinterpret_cast<const char*>(&record), sizeof record).append(body);
    count_++;
    return *this;
  }

  PlanWriter& exec(const std::vector<std::string>& command) { return add(PLAN_EXEC, {command.size()}, command); }

  std::string records() const { return records_; }
  uint32_t count() const { return count_; }

  std::string text() const {
    plan_header header = {};
    header.magic = PLAN_MAGIC;
    header.version = PLAN_VERSION;
    header.size = static_cast<uint32_t>(sizeof header + records_.size());
    header.count = count_;
    header.inherited = inherited_;
    return std::string(reinterpret_cast<const char*>(&header), sizeof header) + records_;
  }

 private:
  std::string records_;
  uint32_t count_ = 0, inherited_;
};
