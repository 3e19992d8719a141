#!/usr/bin/env bash
# Jest, Vitest, ESLint (with the formatters unix and compact), tsc. MODULES is a node_modules directory that has them.
. "$(dirname "$0")/common.sh"
modules=${MODULES:?a node_modules directory with jest, vitest, eslint, its formatters, and typescript}
mkdir -p jest vitest/src lint types/src
cp -r "$modules" node_modules
echo '{"name": "jest-shop"}' >jest/package.json
cat >jest/money.js <<'X'
exports.total = (prices, discount = 0) => prices.reduce((sum, price) => sum + price, 0) - 2 * discount;
exports.first = (prices) => prices[0].amount.value;
X
cat >jest/money.test.js <<'X'
const { total, first } = require("./money");

test("adds", () => {
  expect(total([1, 2])).toBe(3);
});

describe("with a discount", () => {
  test("takes it once", () => {
    expect(total([5], 1)).toBe(4);
  });

  describe("of › many", () => {
    it("is an object", () => {
      console.log("noise about ● nothing");
      expect({ a: 1, b: [1, 2] }).toEqual({ a: 1, b: [1, 3] });
    });
  });
});

test("throws", () => {
  first([{}]);
});

test.skip("skipped", () => {});
X
cat >jest/broken.test.js <<'X'
const nothing = require("./nowhere");

test("never", () => {});
X
cat >jest/slow.test.js <<'X'
test("is slow", async () => {
  await new Promise(() => {});
}, 50);
X
(cd jest && record jest.txt node ../node_modules/jest/bin/jest.js --ci)
(cd jest && record jest_color.txt env FORCE_COLOR=1 node ../node_modules/jest/bin/jest.js --ci --verbose money)
echo '{"name": "vitest-shop", "type": "module"}' >vitest/package.json
cat >vitest/src/money.js <<'X'
export const total = (prices, discount = 0) => prices.reduce((sum, price) => sum + price, 0) - 2 * discount;
X
cat >vitest/src/money.test.js <<'X'
import { describe, expect, test } from "vitest";
import { total } from "./money.js";

test("adds", () => {
  expect(total([1, 2])).toBe(3);
});

describe("with a discount", () => {
  test("takes it once", () => {
    expect(total([5], 1)).toBe(4);
  });
  test("is an object", () => {
    expect({ a: 1, b: [1, 2] }).toEqual({ a: 1, b: [1, 3] });
  });
});

test("throws", () => {
  throw new TypeError("no price");
});
X
cat >vitest/src/broken.test.js <<'X'
import { test } from "vitest";
import { nothing } from "./nowhere.js";

test("never", () => nothing());
X
(cd jest && record jest_github.txt env GITHUB_ACTIONS=true node ../node_modules/jest/bin/jest.js --ci money --reporters=default --reporters=github-actions)
(cd vitest && record vitest.txt env CI=1 NO_COLOR=1 GITHUB_ACTIONS= node ../node_modules/vitest/vitest.mjs run)
(cd vitest && record vitest_color.txt env CI=1 FORCE_COLOR=1 GITHUB_ACTIONS=true node ../node_modules/vitest/vitest.mjs run)
(cd vitest && env CI=1 node ../node_modules/vitest/vitest.mjs run --reporter=junit --outputFile="$logs/junit_vitest.xml" >/dev/null 2>&1)
cat >lint/eslint.config.mjs <<'X'
export default [{ rules: { "no-unused-vars": "warn", "no-undef": "error", eqeqeq: "error", semi: "error" } }];
X
cat >lint/app.js <<'X'
const unused = 1;
if (window == 3) {
  console.log("x")
}
X
mkdir lint/deep
printf 'let a = ;\n' >lint/deep/broken.js
printf 'export const fine = 1;\n' >lint/fine.js
(cd lint && record eslint_stylish.txt node ../node_modules/eslint/bin/eslint.js .)
(cd lint && record eslint_color.txt env FORCE_COLOR=1 node ../node_modules/eslint/bin/eslint.js --color .)
(cd lint && record eslint_unix.txt node ../node_modules/eslint/bin/eslint.js --format unix .)
(cd lint && record eslint_compact.txt node ../node_modules/eslint/bin/eslint.js --format compact .)
cat >types/tsconfig.json <<'X'
{ "compilerOptions": { "strict": true, "noEmit": true, "target": "es2022", "module": "esnext", "moduleResolution": "bundler", "types": [] }, "include": ["src"] }
X
cat >types/src/app.ts <<'X'
import { nothing } from "./nowhere";

interface Price {
  amount: number;
  currency: { code: string };
}

const price: Price = { amount: "3", currency: { code: 4 } };
export const twice = (one: Price) => one.amout * 2;
export function show(price?: Price): string {
  return price.amount.toFixed(2);
}
X
(cd types && record tsc.txt node ../node_modules/typescript/bin/tsc --pretty false)
(cd types && record tsc_pretty.txt node ../node_modules/typescript/bin/tsc --pretty)
as_github github_jest.txt jest.txt "npx jest --ci"
as_github github_tsc.txt tsc.txt "npx tsc"
