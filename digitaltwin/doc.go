// Package digitaltwin is a twin as IoT Plug and Play has it: properties and
// components in place of desired and reported sections, JSON Patch in place of
// merging, and commands. It reads the JSON of twins and writes that of updates,
// so that the rules of twins stay where they are.
//
// Source: Microsoft's pages "understand IoT Plug and Play digital twins",
// "manage IoT Plug and Play digital twins" and "IoT Plug and Play conventions",
// and the service API's /digitaltwins.
package digitaltwin
